// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {WithdrawalGate} from "../src/WithdrawalGate.sol";
import {Token} from "../rehearsal/Token.sol";

/// @notice Calls the gate with what it was given as soon as it receives ether.
contract ReenteringReceiver {
    bytes public callData;
    bool public ok;
    bytes public answer;

    function setCall(bytes calldata callData_) external {
        callData = callData_;
    }

    receive() external payable {
        (ok, answer) = msg.sender.call(callData);
    }
}

/// @notice Takes no ether.
contract RefusingReceiver {
    error NoThanks();

    receive() external payable {
        revert NoThanks();
    }
}

/// @notice Sends back what it receives, and more if it has it.
contract ReturningReceiver {
    uint256 public extra;

    function setExtra(uint256 extra_) external payable {
        extra = extra_;
    }

    receive() external payable {
        (bool ok,) = msg.sender.call{value: msg.value + extra}("");
        require(ok);
    }
}

/// @notice Takes a fee of one unit from the sender on top of what it moves.
contract FeeToken is Token {
    constructor() Token("Fee", "FEE", 18) {}

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(from, address(this), 1);
    }
}

/// @notice Says that it moved tokens, and did not.
contract IdleToken is Token {
    constructor() Token("Idle", "IDLE", 18) {}

    function transfer(address, uint256) public pure override returns (bool) {
        return true;
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// @notice Tokens whose balanceOf fails whoever asks, once switched on by anybody. They re-enact the airdropped and listed tokens
/// that blind a monitor which reads balances (Vyper-shape rehearsal, "a token that burns all gas in balanceOf").
/// Nothing to pause; transfers work on, only the reading is bad.
abstract contract SwitchedToken is Token {
    bool public bad;

    constructor(string memory name_, string memory symbol_) Token(name_, symbol_, 18) {}

    function setBad(bool bad_) external {
        bad = bad_;
    }

    function balanceOf(address who) public view override returns (uint256) {
        if (bad) _misbehave();
        return super.balanceOf(who);
    }

    function _misbehave() internal view virtual;
}

/// @notice balanceOf burns all the gas it is given, by hashing, which costs the reader time as well.
contract GasBurnToken is SwitchedToken {
    constructor() SwitchedToken("Gas burner", "BURN") {}

    function _misbehave() internal pure override {
        bytes32 hash;
        while (true) hash = keccak256(abi.encode(hash));
    }
}

/// @notice balanceOf reverts.
contract RevertToken is SwitchedToken {
    error NoBalance();

    constructor() SwitchedToken("Reverter", "RVT") {}

    function _misbehave() internal pure override {
        revert NoBalance();
    }
}

/// @notice balanceOf answers with a megabyte.
contract MegabyteToken is SwitchedToken {
    constructor() SwitchedToken("Megabyte", "MEGA") {}

    function _misbehave() internal pure override {
        // Ends the call: no Solidity type would return it from a function of this signature.
        assembly {
            return(0, 1048576)
        }
    }
}

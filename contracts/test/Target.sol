// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IPausable} from "../src/IPausable.sol";

/// @notice A target that behaves as told: honestly, as OpenZeppelin's Pausable does, or in one of the ways in which targets fail.
contract Target is IPausable {
    enum Mode {
        Honest,
        PauseReverts,
        PauseBurnsGas,
        PauseRevertsWithMuch,
        PauseReturnsMuch,
        PauseDoesNothing,
        SaysPaused,
        SaysNotPaused,
        ReadReverts,
        ReadBurnsGas,
        ReadReturnsMuch,
        ReadReturnsGarbage,
        ReadReturnsNothing,
        UnpauseReverts,
        Reenters
    }

    Mode public mode;
    bool public truth; // what paused() says when honest
    uint256 public pauses; // calls of pause() that were not reverted
    address public called; // re-entered in mode Reenters
    bytes public callData;
    bytes public answer;

    error EnforcedPause();
    error ExpectedPause();
    error Refused(string why);

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    /// @dev A pause by somebody else, past the Guardian.
    function setTruth(bool truth_) external {
        truth = truth_;
    }

    function setCall(address called_, bytes calldata callData_) external {
        (mode, called, callData) = (Mode.Reenters, called_, callData_);
    }

    function pause() external {
        if (mode == Mode.PauseReverts) revert Refused("not today");
        if (mode == Mode.PauseBurnsGas) _burn();
        if (mode == Mode.PauseRevertsWithMuch) _much(true);
        if (mode == Mode.PauseDoesNothing) return;
        require(!truth, EnforcedPause());
        if (mode == Mode.Reenters) {
            (bool ok, bytes memory data) = called.call(callData);
            answer = abi.encode(ok, data);
        }
        truth = true;
        ++pauses;
        if (mode == Mode.PauseReturnsMuch) _much(false);
    }

    function unpause() external {
        require(mode != Mode.UnpauseReverts, Refused("stuck"));
        require(truth, ExpectedPause());
        truth = false;
    }

    function paused() external view returns (bool) {
        if (mode == Mode.SaysPaused) return true;
        if (mode == Mode.SaysNotPaused) return false;
        if (mode == Mode.ReadReverts) revert Refused("no answer");
        if (mode == Mode.ReadBurnsGas) _burn();
        if (mode == Mode.ReadReturnsMuch) _answer(truth ? 1 : 0, 40_000);
        if (mode == Mode.ReadReturnsGarbage) _answer(2, 32);
        if (mode == Mode.ReadReturnsNothing) _answer(1, 31);
        return truth;
    }

    function _burn() private pure {
        while (true) {}
    }

    function _much(bool failing) private pure {
        // 90 kB: as much as fits into the gas that the Guardian gives, and what would hurt if it were copied.
        assembly {
            if failing { revert(0, 90000) }
            return(0, 90000)
        }
    }

    function _answer(uint256 word, uint256 size) private pure {
        assembly {
            mstore(0, word)
            return(0, size)
        }
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice What the Guardian asks of a target: the three functions of OpenZeppelin's Pausable, with `pause` and `unpause` open
/// to the Guardian. A target may revert when it is already in the state asked for: the Guardian reads before it calls.
interface IPausable {
    function pause() external;

    function unpause() external;

    function paused() external view returns (bool);
}

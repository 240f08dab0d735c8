// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice What the Guardian asks of a target: the three functions of OpenZeppelin's Pausable, with `pause` and `unpause` open
/// to the Guardian. A target may revert when it is already in the state asked for: the Guardian reads before it calls.
interface IPausable {
    /// @notice Stop what has to be stopped.
    function pause() external;

    /// @notice Go on, with everything as it was.
    function unpause() external;

    /// @notice Is it stopped? Asked with little gas, so it should cost little.
    function paused() external view returns (bool);
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @notice What all victims share: an owner, pausers that the owner names (a key, a Safe or a Guardian contract), and
/// OpenZeppelin's pause, which reverts with EnforcedPause() or ExpectedPause() when the state is already the one asked for.
abstract contract Stoppable is Pausable {
    address public immutable OWNER;
    mapping(address who => bool) public isPauser;

    event PauserSet(address indexed who, bool isPauser);

    error NotOwner(address who);
    error NotPauser(address who);

    modifier onlyOwner() {
        require(msg.sender == OWNER, NotOwner(msg.sender));
        _;
    }

    modifier onlyPauser() {
        require(isPauser[msg.sender], NotPauser(msg.sender));
        _;
    }

    /// @param pauser the first pauser; address zero for none
    constructor(address owner, address pauser) {
        OWNER = owner;
        if (pauser != address(0)) _setPauser(pauser, true);
    }

    function pause() external onlyPauser {
        _pause();
    }

    function unpause() external onlyPauser {
        _unpause();
    }

    function setPauser(address who, bool allowed) external onlyOwner {
        _setPauser(who, allowed);
    }

    function _setPauser(address who, bool allowed) private {
        isPauser[who] = allowed;
        emit PauserSet(who, allowed);
    }
}

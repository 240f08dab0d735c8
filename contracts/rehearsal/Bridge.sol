// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Stoppable} from "./Stoppable.sol";

/// @notice The receiving end of a bridge, re-enacting Nomad 2022: an initialise with a zero root makes the root of every message
/// that nobody proved, which is zero, a confirmed one. Anybody can then process a message of his own making; a copycat needs only
/// to put his address into somebody else's.
///
/// A message is abi.encode(uint256 id, address token, address to, uint256 amount); see `encode`.
/// Invariant, broken by the first forged message: `released(token) <= attested(token)`.
/// Pause stops: process. Still works: attest, send (deposits for the other side), all views.
contract Bridge is Stoppable {
    using SafeERC20 for IERC20;

    bytes32 private constant PROCESSED = bytes32(uint256(2));

    /// @notice Signs off messages from the other side.
    address public immutable UPDATER;
    /// @notice When a root was confirmed; 0 if it was not.
    mapping(bytes32 root => uint256) public confirmAt;
    /// @notice The root under which a message was proven, or PROCESSED. Zero for every message never seen.
    mapping(bytes32 messageHash => bytes32) public messages;
    mapping(address token => uint256) public released;
    mapping(address token => uint256) public attested;

    event Initialised(bytes32 root);
    event Attested(bytes32 indexed messageHash, address indexed token, uint256 amount);
    event Processed(bytes32 indexed messageHash, address indexed token, address indexed to, uint256 amount);
    event Sent(address indexed token, address indexed from, address to, uint256 amount);

    error NotUpdater(address who);
    error AlreadyKnown(bytes32 messageHash);
    error AlreadyProcessed(bytes32 messageHash);
    error NotProven(bytes32 messageHash);

    /// @param broken start as after Nomad's upgrade of 21 June 2022, with the zero root confirmed
    constructor(address updater, address owner, address pauser, bool broken) Stoppable(owner, pauser) {
        UPDATER = updater;
        if (broken) _initialise(0);
    }

    /// @notice What the upgrade called; with zero it is the mistake.
    function initialise(bytes32 root) external onlyOwner {
        _initialise(root);
    }

    /// @notice Authorise one message from the other side, and count what it may release.
    function attest(bytes32 messageHash, address token, uint256 amount) external {
        require(msg.sender == UPDATER, NotUpdater(msg.sender));
        require(messages[messageHash] == 0, AlreadyKnown(messageHash));
        messages[messageHash] = messageHash; // a tree of one leaf: its root is the leaf
        confirmAt[messageHash] = block.timestamp;
        attested[token] += amount;
        emit Attested(messageHash, token, amount);
    }

    /// @notice Release what a message says. By anybody.
    /// @dev The bug is not here but in what `confirmAt` says about zero.
    function process(bytes calldata message) external whenNotPaused {
        bytes32 messageHash = keccak256(message);
        bytes32 root = messages[messageHash];
        require(root != PROCESSED, AlreadyProcessed(messageHash));
        require(confirmAt[root] != 0, NotProven(messageHash));
        messages[messageHash] = PROCESSED;
        (, address token, address to, uint256 amount) = abi.decode(message, (uint256, address, address, uint256));
        released[token] += amount;
        IERC20(token).safeTransfer(to, amount);
        emit Processed(messageHash, token, to, amount);
    }

    /// @notice Lock tokens here for release on the other side.
    function send(address token, uint256 amount, address to) external {
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        emit Sent(token, msg.sender, to, amount);
    }

    function encode(uint256 id, address token, address to, uint256 amount) external pure returns (bytes memory) {
        return abi.encode(id, token, to, amount);
    }

    function _initialise(bytes32 root) private {
        confirmAt[root] = 1;
        emit Initialised(root);
    }
}

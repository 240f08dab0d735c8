// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title WithdrawalGate
/// @notice A hot wallet as a contract: it pays withdrawals that its signer signed, within a
/// limit per asset and rolling window, and can be paused and tightened by keys that can do
/// nothing else.
///
/// Design, and why:
/// - The signer's key authorises, anybody submits, because then the key needs no ether, sits in
///   an HSM, and its theft alone moves at most one window's limit before a pause.
/// - The limit holds in any window, not in calendar buckets, because those allow twice the
///   limit around a boundary. Time is cut into SLOTS parts of a window; the current part and the
///   SLOTS before it cover every window that ends now, so their sum, which may count up to
///   1/SLOTS of a window too much and never too little, is held under the limit.
/// - An asset without a limit pays nothing, because a forgotten limit must fail closed.
/// - Nonces are used in any order, because withdrawals are signed in parallel and one that
///   cannot be paid must not block others.
/// - Tightening can only lower and lapses after at most MAX_TIGHTENING, because it is
///   automatic: wrong, it must heal by itself. A new tightening never ends before the live one
///   does, because otherwise a lower limit for one second would lift the old.
/// - A large withdrawal under `delayAbove` is queued with its nonce used, and is paid after
///   `delay` under the rules of that moment, because the delay is there for people to find it; the
///   admin can cancel it.
/// - Pausing is one flag that nothing else depends on, because a resume must restore exactly
///   the state before.
/// - There is no rescue function, because it would be the way around limit and pause. To move
///   everything the admin raises the limit and has it signed.
///
/// Trust: admin and signer are not the same key; the admin is a Safe. The guardian is a
/// Guardian contract or Safe. Tokens with a limit were chosen by the admin; one that takes more
/// than it was asked for makes the withdrawal revert.
///
/// Worst case: a stolen signer key takes one limit per asset and window until paused. A stolen
/// guardian key stops withdrawals or allows them again, a stolen tightener key stops them 2 h
/// at a time; neither moves funds. A stolen admin key is total.
contract WithdrawalGate is EIP712, Pausable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice What the signer signs, as EIP-712 data of this contract on this chain: neither
    /// another gate nor a fork of the chain can use it.
    struct Withdrawal {
        address asset;
        address to;
        uint256 amount;
        uint256 nonce;
        uint256 deadline; // last second in which it may be submitted; a queued one is paid later
    }

    /// @dev Outflow of one asset in one slot of time. `slot` tells a current entry from one a
    /// full ring ago, so that nothing has to be cleared as time goes by.
    struct Part {
        uint64 slot;
        uint192 amount;
    }

    /// @dev A queued withdrawal. It is void once its signer was replaced, as are those that
    /// nobody submitted: after a theft of the key one call voids all of the thief's.
    struct Pending {
        uint64 readyAt;
        address signer;
    }

    /// @dev An amount that holds until a time, and then means nothing: no call is needed for it
    /// to lapse.
    struct Tightening {
        uint192 amount;
        uint64 until;
    }

    /// @notice The asset that stands for ether, as many routers and price lists write it.
    address public constant ETHER = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE;
    /// @notice The EIP-712 type of a withdrawal.
    bytes32 public constant WITHDRAWAL_TYPEHASH =
        keccak256("Withdrawal(address asset,address to,uint256 amount,uint256 nonce,uint256 deadline)");
    /// @notice Parts of a window. More are more exact, and cost 2,100 gas each per withdrawal:
    /// with twelve a steady flow gets 12/13 of the limit.
    uint256 public constant SLOTS = 12;
    /// @notice Longest that a tightening lasts: long enough for people to come and decide,
    /// short enough to heal a wrong one.
    uint256 public constant MAX_TIGHTENING = 2 hours;

    /// @notice Sets roles, limits and the allow-list, lifts and cancels. Cannot pay.
    address public immutable admin;
    /// @notice The rolling window of the limits, in seconds.
    uint64 public immutable window;
    /// @notice The part of the window that one slot covers, in seconds.
    uint64 public immutable slotLength;
    /// @notice How long a queued withdrawal waits, in seconds.
    uint64 public immutable delay;

    /// @notice The key that authorises withdrawals, and can do nothing else.
    address public signer;
    /// @notice May pause and unpause: a Guardian contract, so that its pauses end by
    /// themselves.
    address public guardian;
    /// @notice May lower limits for a time; zero for nobody.
    address public tightener;

    /// @notice The admin's limit per asset and window; none means nothing leaves.
    mapping(address asset => uint192) public limitOf;
    /// @notice The temporary lower limit per asset; past its `until` it means nothing.
    mapping(address asset => Tightening) public tightened;
    /// @notice The amount above which withdrawals of an asset are queued, until its `until`.
    mapping(address asset => Tightening) public delayed;
    /// @notice Until when only allowed destinations are paid.
    uint64 public allowlistUntil;
    /// @notice Destinations that are paid even then: cold wallets, the desk, market makers.
    mapping(address to => bool) public allowed;
    /// @notice A nonce is used once, when its withdrawal is paid or queued. A revert leaves it
    /// unused, so the same signature can be submitted again.
    mapping(uint256 nonce => bool) public nonceUsed;
    /// @notice When the queued withdrawal with this digest may be paid, and whose signature it
    /// had; 0 if none is queued.
    mapping(bytes32 digest => Pending) public queued;
    /// @dev A ring of one more part than a window has, because a window that ends inside a slot
    /// begins inside another.
    mapping(address asset => Part[SLOTS + 1]) private parts;

    /// @notice A withdrawal was paid. The ledger is compared with these, by nonce.
    /// @param amount in the smallest unit of the asset
    event Withdrawn(address indexed asset, address indexed to, uint256 amount, uint256 indexed nonce);
    /// @notice A large withdrawal waits until `readyAt`: time for people to look at it.
    /// @param digest what `execute` will look up, and what `cancel` takes
    event Queued(
        address indexed asset, address indexed to, uint256 amount, uint256 indexed nonce, bytes32 digest, uint64 readyAt
    );
    /// @notice The admin dropped a queued withdrawal.
    event Cancelled(bytes32 indexed digest);
    /// @notice Ether came in. Tokens come in with their own event.
    event Received(address indexed from, uint256 amount);
    /// @notice The signer was replaced: watched as a privileged change.
    event SignerSet(address indexed before, address indexed signer);
    /// @notice The guardian was replaced.
    event GuardianSet(address indexed before, address indexed guardian);
    /// @notice The tightener was replaced; zero is nobody.
    event TightenerSet(address indexed before, address indexed tightener);
    /// @notice The admin set a limit; a higher one is a privileged change to be watched.
    event LimitSet(address indexed asset, uint192 before, uint192 limit);
    /// @notice A destination was put on the allow-list, or taken off.
    event AllowedSet(address indexed to, bool allowed);
    /// @notice A lower limit holds until a time.
    event Tightened(address indexed asset, uint192 limit, uint64 until);
    /// @notice Larger withdrawals are queued until a time.
    event DelayedAbove(address indexed asset, uint192 amount, uint64 until);
    /// @notice Only allowed destinations are paid until a time.
    event AllowlistOnly(uint64 until);
    /// @notice The admin ended the tightening and the delay of an asset.
    event Lifted(address indexed asset);
    /// @notice The admin ended the restriction to allowed destinations.
    event AllowlistLifted();

    /// @notice This role cannot be empty.
    error ZeroAddress();
    /// @notice The window must be a multiple of SLOTS up to a year, the delay up to 30 days,
    /// both above zero.
    error BadWindow(uint64 window, uint64 delay);
    /// @notice Only the admin may do this.
    error NotAdmin(address who);
    /// @notice Only the guardian pauses and unpauses, not even the admin.
    error NotGuardian(address who);
    /// @notice Only the tightener tightens.
    error NotTightener(address who);
    /// @notice Have it signed anew with a later deadline.
    error DeadlinePassed(uint256 deadline, uint256 nowIs);
    /// @notice This withdrawal, or another of the same nonce, was paid or queued before.
    error NonceUsed(uint256 nonce);
    /// @notice The signature is not the signer's; `recovered` is zero if it is none at all.
    error WrongSigner(address recovered, address signer);
    /// @notice Until then only allowed destinations are paid.
    error DestinationNotAllowed(address to, uint64 until);
    /// @notice More than may leave now; try again later, or with less.
    /// @param available what may leave now, by the limit that holds and what left already
    error OverLimit(address asset, uint256 amount, uint256 available);
    /// @notice No withdrawal with this digest waits: never queued, paid, or cancelled.
    error NotQueued(bytes32 digest);
    /// @notice It may be executed from `readyAt` on.
    error NotReady(bytes32 digest, uint64 readyAt);
    /// @notice The balance did not fall by exactly the amount: a fee token, an idle one, or
    /// ether sent back.
    /// @param balanceAfter should have been `balanceBefore - amount`
    error WrongOutflow(address asset, uint256 amount, uint256 balanceBefore, uint256 balanceAfter);
    /// @notice A tightening ends in the future, at `latest` at the latest.
    error BadUntil(uint64 until, uint256 latest);
    /// @notice The tightener may only lower amounts and lengthen times; `current` is what
    /// holds.
    error WouldLoosen(uint256 asked, uint256 current);

    /// @dev Roles are single addresses, because a set would need its own rules; a Safe or a
    /// Guardian is the set.
    modifier onlyAdmin() {
        require(msg.sender == admin, NotAdmin(msg.sender));
        _;
    }

    modifier onlyGuardian() {
        require(msg.sender == guardian, NotGuardian(msg.sender));
        _;
    }

    modifier onlyTightener() {
        require(msg.sender == tightener, NotTightener(msg.sender));
        _;
    }

    /// @param admin_ sets roles, limits and the allow-list, lifts and cancels; a Safe
    /// @param signer_ signs withdrawals
    /// @param guardian_ pauses and unpauses
    /// @param tightener_ lowers limits for up to two hours
    /// @param window_ seconds in which at most the limit leaves; a multiple of SLOTS
    /// @param delay_ seconds that a queued withdrawal waits
    constructor(address admin_, address signer_, address guardian_, address tightener_, uint64 window_, uint64 delay_)
        EIP712("WithdrawalGate", "1")
    {
        require(admin_ != address(0) && signer_ != address(0) && guardian_ != address(0), ZeroAddress());
        require(
            window_ > 0 && window_ % SLOTS == 0 && window_ <= 365 days && delay_ > 0 && delay_ <= 30 days,
            BadWindow(window_, delay_)
        );
        admin = admin_;
        window = window_;
        slotLength = uint64(window_ / SLOTS);
        delay = delay_;
        signer = signer_;
        guardian = guardian_;
        tightener = tightener_;
    }

    /// @notice Ether is received from anybody.
    /// @dev Also while paused: a pause must not bounce deposits.
    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    /// @notice Pay a signed withdrawal, or queue it if it is a large one under `delayAbove`.
    /// @return paid false if it was queued: then `execute` pays it after `delay`
    /// @dev A signature that cannot be paid now, because of limit or pause, stays good until
    /// its deadline.
    /// @param w what was signed
    /// @param signature 65 bytes r, s, v with a low s; contract signers (ERC-1271) are not
    /// supported, because their answer could change between check and payment
    function withdraw(Withdrawal calldata w, bytes calldata signature)
        external
        whenNotPaused
        nonReentrant
        returns (bool paid)
    {
        require(block.timestamp <= w.deadline, DeadlinePassed(w.deadline, block.timestamp));
        require(!nonceUsed[w.nonce], NonceUsed(w.nonce));
        bytes32 digest = digestOf(w);
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        require(recovered == signer, WrongSigner(recovered, signer));
        nonceUsed[w.nonce] = true;
        if (w.amount > delayThreshold(w.asset)) {
            _queue(w, digest);
            return false;
        }
        _pay(w);
        return true;
    }

    /// @notice Pay a queued withdrawal once its delay is over, under the limits and the
    /// allow-list of now. By anybody.
    /// @param w the withdrawal as it was queued; its deadline was for the submission and no
    /// longer matters
    function execute(Withdrawal calldata w) external whenNotPaused nonReentrant {
        bytes32 digest = digestOf(w);
        Pending memory pending = queued[digest];
        require(pending.readyAt != 0, NotQueued(digest));
        require(block.timestamp >= pending.readyAt, NotReady(digest, pending.readyAt));
        require(pending.signer == signer, WrongSigner(pending.signer, signer));
        delete queued[digest];
        _pay(w);
    }

    /// @notice Stop all outflow. Reverts when paused already, as OpenZeppelin's does.
    /// @dev No state but the flag changes, which is what makes a resume exact.
    function pause() external onlyGuardian {
        _pause();
    }

    /// @notice Allow outflow again, everything else as it was.
    /// @dev A Guardian calls this from `lapse` and `resume` only.
    function unpause() external onlyGuardian {
        _unpause();
    }

    /// @notice Lower the limit of one asset until a time at most two hours away.
    /// @param lowerLimit at most the limit that holds now; zero stops the asset
    /// @param until when it ends by itself; never before the end of a live one
    function tighten(address asset, uint192 lowerLimit, uint64 until) external onlyTightener {
        // At most what holds now, in amount, and at least what holds now, in time.
        require(lowerLimit <= effectiveLimit(asset), WouldLoosen(lowerLimit, effectiveLimit(asset)));
        _checkUntil(until, tightened[asset].until);
        tightened[asset] = Tightening(lowerLimit, until);
        emit Tightened(asset, lowerLimit, until);
    }

    /// @notice Queue withdrawals of more than `amount` of one asset, until a time at most two
    /// hours away.
    /// @param amount at most the threshold that holds now; zero queues all
    /// @param until when it ends by itself; what is queued by then stays queued
    function delayAbove(address asset, uint192 amount, uint64 until) external onlyTightener {
        require(amount <= delayThreshold(asset), WouldLoosen(amount, delayThreshold(asset)));
        _checkUntil(until, delayed[asset].until);
        delayed[asset] = Tightening(amount, until);
        emit DelayedAbove(asset, amount, until);
    }

    /// @notice Pay allowed destinations only, until a time at most two hours away.
    /// @param until when it ends by itself; never before the end of a live one
    function allowlistOnly(uint64 until) external onlyTightener {
        _checkUntil(until, allowlistUntil);
        allowlistUntil = until;
        emit AllowlistOnly(until);
    }

    /// @notice End the tightening and the delay of one asset now.
    /// @dev By the admin only: an automatic key that could lift would be a key worth stealing.
    function lift(address asset) external onlyAdmin {
        delete tightened[asset];
        delete delayed[asset];
        emit Lifted(asset);
    }

    /// @notice End the restriction to allowed destinations now.
    /// @dev The list itself stays.
    function liftAllowlist() external onlyAdmin {
        allowlistUntil = 0;
        emit AllowlistLifted();
    }

    /// @notice Drop a queued withdrawal. Its nonce stays used, so it must be signed anew.
    /// @param digest as in its Queued event
    function cancel(bytes32 digest) external onlyAdmin {
        require(queued[digest].readyAt != 0, NotQueued(digest));
        delete queued[digest];
        emit Cancelled(digest);
    }

    /// @notice Set the limit of an asset; what left in this window still counts.
    /// @dev Needs no delay of its own: put a timelock in front of the admin if you want one.
    function setLimit(address asset, uint192 limit) external onlyAdmin {
        uint192 before = limitOf[asset];
        limitOf[asset] = limit;
        emit LimitSet(asset, before, limit);
    }

    /// @notice Put a destination on the allow-list, or take it off. It matters only while
    /// `allowlistOnly` is on.
    function setAllowed(address to, bool isAllowed) external onlyAdmin {
        allowed[to] = isAllowed;
        emit AllowedSet(to, isAllowed);
    }

    /// @notice Replace the signer: what the old one signed and was not paid yet is void,
    /// queued or not.
    /// @param who an externally owned key, in an HSM or a KMS
    function setSigner(address who) external onlyAdmin {
        require(who != address(0), ZeroAddress());
        address before = signer;
        signer = who;
        emit SignerSet(before, who);
    }

    /// @notice Replace the guardian. Never empty: there must always be somebody who can pause.
    function setGuardian(address who) external onlyAdmin {
        require(who != address(0), ZeroAddress());
        address before = guardian;
        guardian = who;
        emit GuardianSet(before, who);
    }

    /// @notice Replace the tightener, or have none with address zero.
    /// @dev May be empty, because it is a convenience on top of the guardian.
    function setTightener(address who) external onlyAdmin {
        address before = tightener;
        tightener = who;
        emit TightenerSet(before, who);
    }

    /// @notice What the signer has to sign, as the final EIP-712 hash.
    /// @return the digest, which also names a queued withdrawal
    function digestOf(Withdrawal calldata w) public view returns (bytes32) {
        return
            _hashTypedDataV4(keccak256(abi.encode(WITHDRAWAL_TYPEHASH, w.asset, w.to, w.amount, w.nonce, w.deadline)));
    }

    /// @notice The limit that holds now.
    /// @dev The lower of both, so that a limit lowered by the admin under a tightening holds at
    /// once.
    function effectiveLimit(address asset) public view returns (uint192) {
        uint192 limit = limitOf[asset];
        Tightening memory t = tightened[asset];
        return block.timestamp < t.until && t.amount < limit ? t.amount : limit;
    }

    /// @notice The amount above which a withdrawal is queued now; the largest number if none is.
    /// @return in the smallest unit of the asset; a withdrawal of exactly this much is paid at
    /// once
    function delayThreshold(address asset) public view returns (uint256) {
        Tightening memory t = delayed[asset];
        return block.timestamp < t.until ? t.amount : type(uint256).max;
    }

    /// @notice What left in the current slot and the SLOTS before it: at least the outflow of
    /// any window that ends now.
    /// @dev Any window that ends at time t in slot n begins in slot n - SLOTS or later, since
    /// it is SLOTS slots long; so the sum over n - SLOTS to n is never too little.
    function outflow(address asset) public view returns (uint256 total) {
        uint256 slot = block.timestamp / slotLength;
        Part[SLOTS + 1] storage ring = parts[asset];
        for (uint256 i = 0; i <= SLOTS; ++i) {
            Part memory part = ring[i];
            if (part.slot + SLOTS >= slot) total += part.amount;
        }
    }

    /// @notice What may still leave now.
    /// @dev Zero, not an underflow, when the limit was lowered below what left already.
    function available(address asset) public view returns (uint256) {
        uint256 limit = effectiveLimit(asset);
        uint256 gone = outflow(asset);
        return gone < limit ? limit - gone : 0;
    }

    /// @dev Not counted as outflow yet: it is counted when it is paid, in the window of that
    /// moment.
    function _queue(Withdrawal calldata w, bytes32 digest) private {
        uint64 ready = uint64(block.timestamp) + delay;
        queued[digest] = Pending(ready, signer);
        emit Queued(w.asset, w.to, w.amount, w.nonce, digest, ready);
    }

    /// @dev Check, count, pay, verify that exactly the amount left.
    function _pay(Withdrawal calldata w) private {
        require(block.timestamp >= allowlistUntil || allowed[w.to], DestinationNotAllowed(w.to, allowlistUntil));
        uint256 left = available(w.asset);
        require(w.amount <= left, OverLimit(w.asset, w.amount, left));
        _count(w.asset, uint192(w.amount)); // no more than a limit, which is a uint192
        emit Withdrawn(w.asset, w.to, w.amount, w.nonce);
        uint256 before = _balance(w.asset);
        if (w.asset == ETHER) Address.sendValue(payable(w.to), w.amount);
        else IERC20(w.asset).safeTransfer(w.to, w.amount);
        // Paid to itself nothing leaves, and a token may take a fee on top: both would make
        // the count a lie.
        uint256 afterwards = _balance(w.asset);
        require(afterwards + w.amount == before, WrongOutflow(w.asset, w.amount, before, afterwards));
    }

    /// @dev Adds to the part of now, and overwrites it if it is one of a ring ago.
    function _count(address asset, uint192 amount) private {
        uint64 slot = uint64(block.timestamp / slotLength);
        Part storage part = parts[asset][slot % (SLOTS + 1)];
        // The entry a full ring ago is older than any window that ends now.
        if (part.slot == slot) part.amount += amount;
        else (part.slot, part.amount) = (slot, amount);
    }

    /// @dev In the future, at most MAX_TIGHTENING away, not before the live end: that would
    /// loosen later.
    function _checkUntil(uint64 until, uint64 live) private view {
        uint256 latest = block.timestamp + MAX_TIGHTENING;
        require(until > block.timestamp && until <= latest, BadUntil(until, latest));
        require(until >= live, WouldLoosen(until, live));
    }

    /// @dev Of this contract.
    function _balance(address asset) private view returns (uint256) {
        return asset == ETHER ? address(this).balance : IERC20(asset).balanceOf(address(this));
    }
}

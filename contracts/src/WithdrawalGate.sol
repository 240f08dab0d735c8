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
/// @notice A hot wallet as a contract: it pays withdrawals that its signer signed, within a limit per asset and rolling window,
/// and can be paused and tightened by keys that can do nothing else.
///
/// Design, and why:
/// - The signer's key authorises, anybody submits, because then the key needs no ether, sits in an HSM, and its theft alone moves
///   at most one window's limit before a pause.
/// - The limit holds in any window, not in calendar buckets, because those allow twice the limit around a boundary. Time is cut
///   into SLOTS parts of a window; the current part and the SLOTS before it cover every window that ends now, so their sum,
///   which may count up to 1/SLOTS of a window too much and never too little, is held under the limit.
/// - An asset without a limit pays nothing, because a forgotten limit must fail closed.
/// - Nonces are used in any order, because withdrawals are signed in parallel and one that cannot be paid must not block others.
/// - Tightening can only lower and lapses after at most MAX_TIGHTENING, because it is automatic: wrong, it must heal by itself.
///   A new tightening never ends before the live one does, because otherwise a lower limit for one second would lift the old.
/// - A large withdrawal under `delayAbove` is queued with its nonce used, and is paid after DELAY under the rules of that moment,
///   because the delay is there for people to find it; the admin can cancel it.
/// - Pausing is one flag that nothing else depends on, because a resume must restore exactly the state before.
/// - There is no rescue function, because it would be the way around limit and pause. To move everything the admin raises the
///   limit and has it signed.
///
/// Trust: admin and signer are not the same key; the admin is a Safe. The guardian is a Guardian contract or Safe. Tokens with a
/// limit were chosen by the admin; one that takes more than it was asked for makes the withdrawal revert.
///
/// Worst case: a stolen signer key takes one limit per asset and window until paused. A stolen guardian key stops withdrawals or
/// allows them again, a stolen tightener key stops them 2 h at a time; neither moves funds. A stolen admin key is total.
contract WithdrawalGate is EIP712, Pausable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice What the signer signs, as EIP-712 data of this contract on this chain.
    struct Withdrawal {
        address asset;
        address to;
        uint256 amount;
        uint256 nonce;
        uint256 deadline; // last second in which it may be submitted; a queued one is paid later
    }

    /// @dev Outflow of one asset in one slot of time. `slot` tells a current entry from one a full ring ago.
    struct Part {
        uint64 slot;
        uint192 amount;
    }

    /// @dev A queued withdrawal. It is void once its signer was replaced, as are those that nobody submitted.
    struct Pending {
        uint64 readyAt;
        address signer;
    }

    /// @dev A limit that holds until a time.
    struct Tightening {
        uint192 amount;
        uint64 until;
    }

    /// @notice The asset that stands for ether.
    address public constant ETHER = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE;
    bytes32 public constant WITHDRAWAL_TYPEHASH =
        keccak256("Withdrawal(address asset,address to,uint256 amount,uint256 nonce,uint256 deadline)");
    /// @notice Parts of a window. More are more exact and cost 2,100 gas each per withdrawal.
    uint256 public constant SLOTS = 12;
    uint256 public constant MAX_TIGHTENING = 2 hours;

    address public immutable admin;
    /// @notice The rolling window, and the part of it that one slot covers, in seconds.
    uint64 public immutable window;
    uint64 public immutable slotLength;
    /// @notice How long a queued withdrawal waits, in seconds.
    uint64 public immutable delay;

    address public signer;
    address public guardian;
    address public tightener;

    /// @notice The admin's limit per asset and window; none means nothing leaves.
    mapping(address asset => uint192) public limitOf;
    /// @notice The temporary lower limit, and the amount above which withdrawals are queued.
    mapping(address asset => Tightening) public tightened;
    mapping(address asset => Tightening) public delayed;
    /// @notice Until when only allowed destinations are paid, and which those are.
    uint64 public allowlistUntil;
    mapping(address to => bool) public allowed;
    /// @notice A nonce is used once, when its withdrawal is paid or queued.
    mapping(uint256 nonce => bool) public nonceUsed;
    /// @notice When the queued withdrawal with this digest may be paid, and whose signature it had; 0 if none is queued.
    mapping(bytes32 digest => Pending) public queued;
    mapping(address asset => Part[SLOTS + 1]) private parts;

    event Withdrawn(address indexed asset, address indexed to, uint256 amount, uint256 indexed nonce);
    event Queued(
        address indexed asset, address indexed to, uint256 amount, uint256 indexed nonce, bytes32 digest, uint64 readyAt
    );
    event Cancelled(bytes32 indexed digest);
    event Received(address indexed from, uint256 amount);
    event SignerSet(address indexed before, address indexed signer);
    event GuardianSet(address indexed before, address indexed guardian);
    event TightenerSet(address indexed before, address indexed tightener);
    event LimitSet(address indexed asset, uint192 before, uint192 limit);
    event AllowedSet(address indexed to, bool allowed);
    event Tightened(address indexed asset, uint192 limit, uint64 until);
    event DelayedAbove(address indexed asset, uint192 amount, uint64 until);
    event AllowlistOnly(uint64 until);
    event Lifted(address indexed asset);
    event AllowlistLifted();

    error ZeroAddress();
    error BadWindow(uint64 window, uint64 delay);
    error NotAdmin(address who);
    error NotGuardian(address who);
    error NotTightener(address who);
    error DeadlinePassed(uint256 deadline, uint256 nowIs);
    error NonceUsed(uint256 nonce);
    error WrongSigner(address recovered, address signer);
    error DestinationNotAllowed(address to, uint64 until);
    error OverLimit(address asset, uint256 amount, uint256 available);
    error NotQueued(bytes32 digest);
    error NotReady(bytes32 digest, uint64 readyAt);
    error WrongOutflow(address asset, uint256 amount, uint256 balanceBefore, uint256 balanceAfter);
    error BadUntil(uint64 until, uint256 latest);
    error WouldLoosen(uint256 asked, uint256 current);

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
    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    /// @notice Pay a signed withdrawal, or queue it if it is a large one under `delayAbove`.
    /// @return paid false if it was queued: then `execute` pays it after `delay`
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

    /// @notice Pay a queued withdrawal once its delay is over, under the limits and the allow-list of now. By anybody.
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
    function pause() external onlyGuardian {
        _pause();
    }

    /// @notice Allow outflow again, everything else as it was.
    function unpause() external onlyGuardian {
        _unpause();
    }

    /// @notice Lower the limit of one asset until a time at most two hours away.
    function tighten(address asset, uint192 lowerLimit, uint64 until) external onlyTightener {
        // At most what holds now, in amount, and at least what holds now, in time.
        require(lowerLimit <= effectiveLimit(asset), WouldLoosen(lowerLimit, effectiveLimit(asset)));
        _checkUntil(until, tightened[asset].until);
        tightened[asset] = Tightening(lowerLimit, until);
        emit Tightened(asset, lowerLimit, until);
    }

    /// @notice Queue withdrawals of more than `amount` of one asset, until a time at most two hours away.
    function delayAbove(address asset, uint192 amount, uint64 until) external onlyTightener {
        require(amount <= delayThreshold(asset), WouldLoosen(amount, delayThreshold(asset)));
        _checkUntil(until, delayed[asset].until);
        delayed[asset] = Tightening(amount, until);
        emit DelayedAbove(asset, amount, until);
    }

    /// @notice Pay allowed destinations only, until a time at most two hours away.
    function allowlistOnly(uint64 until) external onlyTightener {
        _checkUntil(until, allowlistUntil);
        allowlistUntil = until;
        emit AllowlistOnly(until);
    }

    /// @notice End the tightening and the delay of one asset now.
    function lift(address asset) external onlyAdmin {
        delete tightened[asset];
        delete delayed[asset];
        emit Lifted(asset);
    }

    /// @notice End the restriction to allowed destinations now.
    function liftAllowlist() external onlyAdmin {
        allowlistUntil = 0;
        emit AllowlistLifted();
    }

    /// @notice Drop a queued withdrawal. Its nonce stays used, so it must be signed anew.
    function cancel(bytes32 digest) external onlyAdmin {
        require(queued[digest].readyAt != 0, NotQueued(digest));
        delete queued[digest];
        emit Cancelled(digest);
    }

    /// @notice Set the limit of an asset; what left in this window still counts.
    function setLimit(address asset, uint192 limit) external onlyAdmin {
        emit LimitSet(asset, limitOf[asset], limit);
        limitOf[asset] = limit;
    }

    function setAllowed(address to, bool isAllowed) external onlyAdmin {
        allowed[to] = isAllowed;
        emit AllowedSet(to, isAllowed);
    }

    /// @notice Replace the signer: what the old one signed and was not paid yet is void, queued or not.
    function setSigner(address who) external onlyAdmin {
        require(who != address(0), ZeroAddress());
        emit SignerSet(signer, who);
        signer = who;
    }

    function setGuardian(address who) external onlyAdmin {
        require(who != address(0), ZeroAddress());
        emit GuardianSet(guardian, who);
        guardian = who;
    }

    /// @notice Replace the tightener, or have none with address zero.
    function setTightener(address who) external onlyAdmin {
        emit TightenerSet(tightener, who);
        tightener = who;
    }

    /// @notice What the signer has to sign, as the final EIP-712 hash.
    function digestOf(Withdrawal calldata w) public view returns (bytes32) {
        return
            _hashTypedDataV4(keccak256(abi.encode(WITHDRAWAL_TYPEHASH, w.asset, w.to, w.amount, w.nonce, w.deadline)));
    }

    /// @notice The limit that holds now.
    function effectiveLimit(address asset) public view returns (uint192) {
        uint192 limit = limitOf[asset];
        Tightening memory t = tightened[asset];
        return block.timestamp < t.until && t.amount < limit ? t.amount : limit;
    }

    /// @notice The amount above which a withdrawal is queued now; the largest number if none is.
    function delayThreshold(address asset) public view returns (uint256) {
        Tightening memory t = delayed[asset];
        return block.timestamp < t.until ? t.amount : type(uint256).max;
    }

    /// @notice What left in the current slot and the SLOTS before it: at least the outflow of any window that ends now.
    function outflow(address asset) public view returns (uint256 total) {
        uint256 slot = block.timestamp / slotLength;
        Part[SLOTS + 1] storage ring = parts[asset];
        for (uint256 i = 0; i <= SLOTS; ++i) {
            Part memory part = ring[i];
            if (part.slot + SLOTS >= slot) total += part.amount;
        }
    }

    /// @notice What may still leave now.
    function available(address asset) public view returns (uint256) {
        uint256 limit = effectiveLimit(asset);
        uint256 gone = outflow(asset);
        return gone < limit ? limit - gone : 0;
    }

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
        // Paid to itself nothing leaves, and a token may take a fee on top: both would make the count a lie.
        uint256 afterwards = _balance(w.asset);
        require(afterwards + w.amount == before, WrongOutflow(w.asset, w.amount, before, afterwards));
    }

    function _count(address asset, uint192 amount) private {
        uint64 slot = uint64(block.timestamp / slotLength);
        Part storage part = parts[asset][slot % (SLOTS + 1)];
        // The entry a full ring ago is older than any window that ends now.
        if (part.slot == slot) part.amount += amount;
        else (part.slot, part.amount) = (slot, amount);
    }

    /// @dev In the future, at most MAX_TIGHTENING away, not before the live end: that would loosen later.
    function _checkUntil(uint64 until, uint64 live) private view {
        uint256 latest = block.timestamp + MAX_TIGHTENING;
        require(until > block.timestamp && until <= latest, BadUntil(until, latest));
        require(until >= live, WouldLoosen(until, live));
    }

    function _balance(address asset) private view returns (uint256) {
        return asset == ETHER ? address(this).balance : IERC20(asset).balanceOf(address(this));
    }
}

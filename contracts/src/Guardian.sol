// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPausable} from "./IPausable.sol";

/// @title Guardian
/// @notice The power to pause registered targets for a bounded time, and nothing else. An automatic responder (the pauser) holds
/// it with few uses; people hold it too; the admin alone widens anything or ends a pause early.
///
/// Design, and why:
/// - Pauses are finite, because an automatic answer that is wrong must end even when nobody is there. `lapse` is open to all,
///   because ending an expired pause must not depend on the key that made it.
/// - `extend` costs no use, because otherwise an attacker who waits the pause out wins by patience; it is bounded by `maxTotal`
///   since the pause began, because otherwise a stolen pauser key could extend for ever.
/// - One use covers one batch, because one attack on ten sister markets is one decision. A target that is already paused costs
///   nothing and never reverts, because the same pause is sent along several paths at once and the second to land must be harmless.
/// - A failing target never blocks the rest: the call to it has bounded gas and bounded return data, and its result says why.
/// - The result is what `paused()` says after the call, not that the call did not revert, because a proxy without code behind it
///   succeeds at everything.
/// - A call that succeeded but cannot be verified keeps its record and spends a use, because the target may well be paused, and
///   then somebody must be able to `lapse` it; and because a free call would let a stolen key act without count.
/// - A pause that somebody else made is left alone: no record, so `lapse` never lifts another's pause.
/// - The pauser's heartbeat, once missed, is restored by the admin only, because a key that was forgotten for long enough is a key
///   that nobody watches. It never disarms people or the admin, because there must always be somebody who can pause.
/// - There is no owner transfer and no upgrade: the admin should be a Safe, whose owners can change.
///
/// Trust: the admin is honest. Targets are registered by the admin and are trusted not to be hostile, but a hostile one harms only
/// itself (it is bounded in gas and data, and cannot re-enter). Whoever unpauses a target directly also calls `resume` or `keep`
/// here, or a stale record could later lift a pause that is not ours.
///
/// Worst case: a stolen pauser key pauses every registered target for `maxTotal`, `usesLeft` times (at most `maxUses` between two
/// acts of the admin). A rogue person pauses without count until the admin removes him. A lost admin: pauses still work and lapse,
/// uses run out. No key can move funds, call anything but pause() and unpause(), or unpause early save the admin.
contract Guardian is ReentrancyGuardTransient {
    /// @notice What happened to one target. Only `Paused` spends a use, and `Unverified`, which may be a pause.
    enum Outcome {
        Paused, // it is paused now, by this call
        AlreadyPaused, // it said so before this call; nothing was changed
        Unverified, // pause() succeeded, yet paused() is not true afterwards; recorded as if paused
        CallFailed, // pause() reverted or ran out of its gas; `reason` has the first bytes
        NotRegistered, // the admin never registered it, or took it out
        NoCode, // no contract at this address any more
        NoUsesLeft, // the pauser has no use left for a new pause
        Extended, // the pause now ends at `pausedUntil`
        NotPaused, // nothing of ours to extend
        AtLimit // already ends as late as asked, or as late as `maxTotal` allows
    }

    /// @notice One line per target, in the order asked.
    struct Result {
        address target;
        Outcome outcome;
        uint64 pausedUntil; // when our pause of it ends; 0 without one
        bytes reason; // at most MAX_REASON bytes of what the target answered
    }

    /// @notice What `paused()` of a target says, when it says anything.
    enum Reading {
        No,
        Yes,
        Unreadable
    }

    /// @notice What is known about one target.
    struct Status {
        bool registered;
        Reading paused;
        uint64 pausedAt;
        uint64 pausedUntil;
        bool lapsable; // the time is over and anybody may call `lapse`
    }

    /// @dev One slot, so that a pause of a registered target writes no fresh one.
    struct Record {
        bool registered;
        uint64 pausedAt;
        uint64 pausedUntil; // 0: no pause of ours
    }

    /// @notice Gas that a target gets for pause(), and for one paused(). Enough for a proxy with a role registry behind it.
    uint256 public constant PAUSE_GAS = 200_000;
    uint256 public constant READ_GAS = 50_000;
    /// @notice Asked for per target up front, because a batch cut short by a low gas limit would succeed and pause nothing, and
    /// eth_estimateGas would find exactly that limit. Twice READ_GAS, PAUSE_GAS, the 1/64 kept back (EIP-150), and our own work.
    uint256 public constant GAS_PER_TARGET = 380_000;
    /// @notice A full batch fits below the 2**24 gas that EIP-7825 allows a transaction.
    uint256 public constant MAX_TARGETS = 32;
    /// @notice Bytes copied from a failing target: a selector and seven words. A target may return a megabyte.
    uint256 public constant MAX_REASON = 228;

    address public immutable admin;
    uint64 public immutable minDuration;
    uint64 public immutable maxDuration;
    uint64 public immutable maxTotal;
    uint64 public immutable heartbeatInterval;
    uint32 public immutable maxUses;

    // The next three share a slot, read and written once in a pause.
    address public pauser;
    uint32 public usesLeft;
    uint64 public lastHeartbeat;
    mapping(address who => bool) public people;
    mapping(address target => Record) private records;

    event PauserSet(address indexed before, address indexed pauser);
    event PersonSet(address indexed who, bool allowed);
    event Registered(address indexed target);
    event Unregistered(address indexed target);
    event Rearmed(uint32 uses);
    event UseSpent(address indexed by, uint32 usesLeft);
    event HeartbeatSeen(address indexed pauser);
    event TargetPaused(address indexed target, address indexed by, uint64 pausedUntil, Outcome outcome);
    event TargetNotPaused(address indexed target, address indexed by, Outcome outcome, bytes reason);
    event TargetExtended(address indexed target, address indexed by, uint64 pausedUntil);
    event TargetLapsed(address indexed target, address indexed by);
    event TargetResumed(address indexed target);
    event TargetKept(address indexed target);

    error ZeroAddress();
    error BadBounds(uint64 minDuration, uint64 maxDuration, uint64 maxTotal);
    error BadLimits(uint64 heartbeatInterval, uint32 maxUses);
    error NotAdmin(address who);
    error NotPauser(address who);
    error NotArmed(address who);
    error HeartbeatLapsed(uint64 lastHeartbeat, uint64 heartbeatInterval);
    error RoleConflict(address who);
    error TooManyUses(uint32 uses, uint32 maxUses);
    error DurationOutOfBounds(uint64 duration, uint64 minDuration, uint64 maxDuration);
    error BadBatch(uint256 targets, uint256 maxTargets);
    error NotEnoughGas(uint256 available, uint256 needed);
    error NotPausable(address target);
    error UnknownTarget(address target);
    error AlreadyRegistered(address target);
    error NothingToLapse(address target);
    error NotLapsedYet(address target, uint64 pausedUntil);
    error StillPaused(address target, bytes reason);

    modifier onlyAdmin() {
        require(msg.sender == admin, NotAdmin(msg.sender));
        _;
    }

    /// @param admin_ re-arms, registers and resumes; a Safe
    /// @param minDuration_ shortest pause in seconds: long enough for a person to arrive
    /// @param maxDuration_ longest single pause or extension, counted from its call
    /// @param maxTotal_ latest end of a pause after its begin, extensions included (deploy script: 7 days)
    /// @param heartbeatInterval_ silence in seconds after which the pauser is disarmed
    /// @param maxUses_ most uses that one re-arming grants; a new Guardian starts with all of them, and without a pauser
    constructor(
        address admin_,
        uint64 minDuration_,
        uint64 maxDuration_,
        uint64 maxTotal_,
        uint64 heartbeatInterval_,
        uint32 maxUses_
    ) {
        require(admin_ != address(0), ZeroAddress());
        // The ceiling of a year keeps every sum of times far inside uint64.
        require(
            minDuration_ > 0 && minDuration_ <= maxDuration_ && maxDuration_ <= maxTotal_ && maxTotal_ <= 365 days,
            BadBounds(minDuration_, maxDuration_, maxTotal_)
        );
        require(
            heartbeatInterval_ > 0 && heartbeatInterval_ <= 365 days && maxUses_ > 0,
            BadLimits(heartbeatInterval_, maxUses_)
        );
        admin = admin_;
        minDuration = minDuration_;
        maxDuration = maxDuration_;
        maxTotal = maxTotal_;
        heartbeatInterval = heartbeatInterval_;
        maxUses = maxUses_;
        usesLeft = maxUses_;
    }

    /// @notice Pause every target for `duration` seconds; a failing one does not stop the others.
    /// @dev By the pauser while armed, by people and the admin always. Reverts only for the caller's own mistakes.
    function pause(address[] calldata targets, uint64 duration)
        external
        nonReentrant
        returns (Result[] memory results)
    {
        bool counted = _enter(targets.length, duration);
        uint64 until = uint64(block.timestamp) + duration;
        results = new Result[](targets.length);
        bool paid = !counted; // whoever is not counted has nothing to pay
        for (uint256 i = 0; i < targets.length; ++i) {
            results[i] = _pauseOne(targets[i], until, paid || usesLeft > 0);
            Outcome outcome = results[i].outcome;
            if (!paid && (outcome == Outcome.Paused || outcome == Outcome.Unverified)) {
                paid = true;
                emit UseSpent(msg.sender, --usesLeft);
            }
        }
    }

    /// @notice Let our pause of every target end `duration` seconds from now instead, never earlier than it does already.
    /// @dev Open from the pause to its lapse, even past its end as long as nobody lapsed it: the bound is `maxTotal` anyway.
    function extend(address[] calldata targets, uint64 duration)
        external
        nonReentrant
        returns (Result[] memory results)
    {
        _enter(targets.length, duration);
        uint64 until = uint64(block.timestamp) + duration;
        results = new Result[](targets.length);
        for (uint256 i = 0; i < targets.length; ++i) {
            results[i] = _extendOne(targets[i], until);
        }
    }

    /// @notice End a pause of ours whose time is over. By anybody; works for a target that was taken out meanwhile too.
    function lapse(address target) external nonReentrant {
        uint64 until = records[target].pausedUntil;
        require(until != 0, NothingToLapse(target));
        require(block.timestamp >= until, NotLapsedYet(target, until));
        // Or a caller could starve unpause() of gas and have the record gone with the target still paused.
        require(gasleft() >= GAS_PER_TARGET, NotEnoughGas(gasleft(), GAS_PER_TARGET));
        _clear(target);
        emit TargetLapsed(target, msg.sender);
        _unpause(target);
    }

    /// @notice Say that the pauser is alive. Pausing and extending say it too.
    function heartbeat() external {
        require(msg.sender == pauser, NotPauser(msg.sender));
        _beat();
        emit HeartbeatSeen(msg.sender);
    }

    /// @notice Unpause before the time is over, whoever paused it.
    function resume(address target) external onlyAdmin nonReentrant {
        Record storage record = records[target];
        require(record.registered || record.pausedUntil != 0, UnknownTarget(target));
        _clear(target);
        emit TargetResumed(target);
        _unpause(target);
    }

    /// @notice Take a pause over: it stays, but no longer lapses. For an attack that outlives `maxTotal`, and for a record
    /// that went stale because somebody unpaused the target directly.
    function keep(address target) external onlyAdmin nonReentrant {
        require(records[target].pausedUntil != 0, NothingToLapse(target));
        _clear(target);
        emit TargetKept(target);
    }

    /// @notice Grant `uses` (not in addition to what is left) and restart the pauser's heartbeat.
    function rearm(uint32 uses) external onlyAdmin nonReentrant {
        require(uses <= maxUses, TooManyUses(uses, maxUses));
        usesLeft = uses;
        lastHeartbeat = uint64(block.timestamp);
        emit Rearmed(uses);
    }

    /// @notice Replace the pauser, or remove him with address zero. Uses stay as they are: `rearm` grants them.
    function setPauser(address who) external onlyAdmin nonReentrant {
        // A pauser who is also a person would pause without count.
        require(who != admin && !people[who], RoleConflict(who));
        emit PauserSet(pauser, who);
        pauser = who;
        lastHeartbeat = uint64(block.timestamp);
    }

    /// @notice Allow or forbid a person to pause and extend.
    function setPerson(address who, bool allowed) external onlyAdmin nonReentrant {
        require(who != address(0), ZeroAddress());
        require(!allowed || (who != pauser && who != admin), RoleConflict(who));
        people[who] = allowed;
        emit PersonSet(who, allowed);
    }

    /// @notice Put a target under the power of this Guardian. Granting it the target's pauser role is the target's own matter.
    function register(address target) external onlyAdmin nonReentrant {
        require(!records[target].registered, AlreadyRegistered(target));
        require(target.code.length > 0 && _read(target) != Reading.Unreadable, NotPausable(target));
        records[target].registered = true;
        emit Registered(target);
    }

    /// @notice Take a target out. A pause of ours on it keeps its record, because it must still be able to lapse.
    function unregister(address target) external onlyAdmin nonReentrant {
        require(records[target].registered, UnknownTarget(target));
        records[target].registered = false;
        emit Unregistered(target);
    }

    /// @notice Could `who` newly pause something in the next call?
    function armed(address who) external view returns (bool) {
        if (who == admin || people[who]) return true;
        return who != address(0) && who == pauser && _alive() && usesLeft > 0;
    }

    /// @notice When our pause of `target` ends; 0 without one.
    function pausedUntil(address target) external view returns (uint64) {
        return records[target].pausedUntil;
    }

    /// @notice All about one target, `paused()` asked with bounded gas.
    function status(address target) external view returns (Status memory) {
        Record memory record = records[target];
        return Status({
            registered: record.registered,
            paused: _read(target),
            pausedAt: record.pausedAt,
            pausedUntil: record.pausedUntil,
            lapsable: record.pausedUntil != 0 && block.timestamp >= record.pausedUntil
        });
    }

    /// @notice Least gas limit to leave for a batch of `targets` inside pause or extend.
    function gasNeeded(uint256 targets) public pure returns (uint256) {
        return targets * GAS_PER_TARGET;
    }

    /// @dev Who calls, with what, with how much gas. True if his pauses are counted.
    function _enter(uint256 count, uint64 duration) private returns (bool counted) {
        counted = msg.sender == pauser;
        if (counted) _beat();
        else require(people[msg.sender] || msg.sender == admin, NotArmed(msg.sender));
        require(
            duration >= minDuration && duration <= maxDuration, DurationOutOfBounds(duration, minDuration, maxDuration)
        );
        require(count > 0 && count <= MAX_TARGETS, BadBatch(count, MAX_TARGETS));
        require(gasleft() >= gasNeeded(count), NotEnoughGas(gasleft(), gasNeeded(count)));
    }

    function _pauseOne(address target, uint64 until, bool allowed) private returns (Result memory result) {
        result.target = target;
        (result.outcome, result.reason) = _tryPause(target, allowed);
        if (result.outcome == Outcome.Paused || result.outcome == Outcome.Unverified) {
            records[target].pausedAt = uint64(block.timestamp);
            records[target].pausedUntil = until;
            emit TargetPaused(target, msg.sender, until, result.outcome);
        } else if (result.outcome != Outcome.AlreadyPaused) {
            emit TargetNotPaused(target, msg.sender, result.outcome, result.reason);
        }
        result.pausedUntil = records[target].pausedUntil;
    }

    function _tryPause(address target, bool allowed) private returns (Outcome, bytes memory reason) {
        Record memory record = records[target];
        if (!record.registered) return (Outcome.NotRegistered, "");
        if (target.code.length == 0) return (Outcome.NoCode, "");
        if (_read(target) == Reading.Yes) {
            // Ours and over, but not lapsed yet: anybody could end it in the next block, so this is a pause anew, at its price.
            bool over = record.pausedUntil != 0 && block.timestamp >= record.pausedUntil;
            if (!over) return (Outcome.AlreadyPaused, "");
            return (allowed ? Outcome.Paused : Outcome.NoUsesLeft, "");
        }
        if (!allowed) return (Outcome.NoUsesLeft, "");
        bool ok;
        (ok, reason) = _call(target, abi.encodeCall(IPausable.pause, ()), PAUSE_GAS);
        if (!ok) return (Outcome.CallFailed, reason);
        return (_read(target) == Reading.Yes ? Outcome.Paused : Outcome.Unverified, "");
    }

    function _extendOne(address target, uint64 until) private returns (Result memory result) {
        Record storage record = records[target];
        result.target = target;
        result.pausedUntil = record.pausedUntil;
        // Unreadable counts as paused: between losing protection and a longer record, the longer record.
        if (record.pausedUntil == 0 || _read(target) == Reading.No) {
            result.outcome = Outcome.NotPaused;
            return result;
        }
        uint64 latest = record.pausedAt + maxTotal;
        uint64 end = until < latest ? until : latest;
        // An end in the past would extend nothing, whatever the record said.
        if (end <= record.pausedUntil || end <= block.timestamp) {
            result.outcome = Outcome.AtLimit;
            return result;
        }
        record.pausedUntil = end;
        result.pausedUntil = end;
        result.outcome = Outcome.Extended;
        emit TargetExtended(target, msg.sender, end);
    }

    /// @dev Always calls, even if `paused()` says no already, because it may lie; what counts is that it does not say yes after.
    function _unpause(address target) private {
        (bool ok, bytes memory reason) = _call(target, abi.encodeCall(IPausable.unpause, ()), gasleft());
        Reading reading = _read(target);
        // A target that was unpaused meanwhile reverts and says no: fine. One that reverts and cannot be read: not fine.
        require(reading == Reading.No || (ok && reading == Reading.Unreadable), StillPaused(target, reason));
    }

    function _beat() private {
        require(_alive(), HeartbeatLapsed(lastHeartbeat, heartbeatInterval));
        lastHeartbeat = uint64(block.timestamp);
    }

    function _alive() private view returns (bool) {
        return block.timestamp <= lastHeartbeat + heartbeatInterval;
    }

    function _clear(address target) private {
        records[target].pausedAt = 0;
        records[target].pausedUntil = 0;
    }

    /// @dev Anything but a clean bool is Unreadable.
    function _read(address target) private view returns (Reading) {
        bytes memory data = abi.encodeCall(IPausable.paused, ());
        uint256 gasLimit = READ_GAS;
        bool ok;
        uint256 size;
        uint256 word;
        // Solidity's own staticcall copies whatever comes back; see _call.
        assembly ("memory-safe") {
            ok := staticcall(gasLimit, target, add(data, 0x20), mload(data), 0x00, 0x20)
            size := returndatasize()
            word := mload(0x00)
        }
        if (!ok || size < 32 || word > 1) return Reading.Unreadable;
        return word == 1 ? Reading.Yes : Reading.No;
    }

    /// @dev Assembly because Solidity copies all return data: within PAUSE_GAS a target can return 300 kB, and the memory for a
    /// few such copies costs this batch quadratically more gas than it has. Here at most MAX_REASON bytes are copied.
    function _call(address target, bytes memory data, uint256 gasLimit) private returns (bool ok, bytes memory reason) {
        uint256 size;
        assembly ("memory-safe") {
            ok := call(gasLimit, target, 0, add(data, 0x20), mload(data), 0, 0)
            size := returndatasize()
        }
        if (ok || size == 0) return (ok, "");
        reason = new bytes(size < MAX_REASON ? size : MAX_REASON);
        assembly ("memory-safe") {
            returndatacopy(add(reason, 0x20), 0, mload(reason))
        }
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPausable} from "./IPausable.sol";

/// @title Guardian
/// @notice The power to pause registered targets for a bounded time, and nothing else. An
/// automatic responder (the pauser) holds it with few uses; people hold it too; the admin alone
/// widens anything or ends a pause early.
///
/// Design, and why:
/// - Pauses are finite, because an automatic answer that is wrong must end even when nobody is
///   there. `lapse` is open to all, because ending an expired pause must not depend on the key
///   that made it.
/// - `extend` costs no use, because otherwise an attacker who waits the pause out wins by
///   patience; it is bounded by `maxTotal` since the pause began, because otherwise a stolen
///   pauser key could extend for ever.
/// - One use covers one batch, because one attack on ten sister markets is one decision. A
///   target that is already paused costs nothing and never reverts, because the same pause is
///   sent along several paths at once and the second to land must be harmless.
/// - A failing target never blocks the rest: the call to it has bounded gas and bounded return
///   data, and its result says why.
/// - The result is what `paused()` says after the call, not that the call did not revert,
///   because a proxy without code behind it succeeds at everything.
/// - A call that succeeded but cannot be verified keeps its record and spends a use, because
///   the target may well be paused, and then somebody must be able to `lapse` it; and because a
///   free call would let a stolen key act without count.
/// - A pause that somebody else made is left alone: no record, so `lapse` never lifts another's
///   pause.
/// - The pauser's heartbeat, once missed, is restored by the admin only, because a key that was
///   forgotten for long enough is a key that nobody watches. It never disarms people or the
///   admin, because there must always be somebody who can pause.
/// - There is no owner transfer and no upgrade: the admin should be a Safe, whose owners can
///   change.
///
/// Trust: the admin is honest. Targets are registered by the admin and are trusted not to be
/// hostile, but a hostile one harms only itself (it is bounded in gas and data, and cannot re-
/// enter). Whoever unpauses a target directly also calls `resume` or `keep` here, or a stale
/// record could later lift a pause that is not ours.
///
/// Worst case: a stolen pauser key pauses every registered target for `maxTotal`, `usesLeft`
/// times (at most `maxUses` between two acts of the admin). A rogue person pauses without count
/// until the admin removes him. A lost admin: pauses still work and lapse, uses run out. No key
/// can move funds, call anything but pause() and unpause(), or unpause early save the admin.
contract Guardian is ReentrancyGuardTransient {
    /// @notice What happened to one target. Only `Paused` spends a use, and `Unverified`, which
    /// may be a pause.
    /// @dev The order is part of the interface: the responder reads the numbers.
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

    /// @notice One line per target, in the order asked, so that a batch explains itself without
    /// its events.
    struct Result {
        address target;
        Outcome outcome;
        uint64 pausedUntil; // when our pause of it ends; 0 without one
        bytes reason; // at most MAX_REASON bytes of what the target answered
    }

    /// @notice What `paused()` of a target says, when it says anything.
    /// @dev Three values, because a target that gives no clear answer is neither: treating
    /// silence as "not paused" would let a pause go unrecorded, as "paused" would skip the
    /// call.
    enum Reading {
        No,
        Yes,
        Unreadable
    }

    /// @notice What is known about one target, for the daily probe and for dashboards.
    struct Status {
        bool registered;
        Reading paused;
        uint64 pausedAt;
        uint64 pausedUntil;
        bool lapsable; // the time is over and anybody may call `lapse`
    }

    /// @dev One slot, so that a pause of a registered target writes no fresh one: a cheap pause
    /// outbids a heavy attack for little (a 60,000 to 70,000 gas pause against one of 2M pays
    /// 29 times less).
    struct Record {
        bool registered;
        uint64 pausedAt;
        uint64 pausedUntil; // 0: no pause of ours
    }

    /// @notice Gas that a target gets for pause(): enough for a proxy with a role registry
    /// behind it.
    /// @dev A bound at all, because a target that burns everything would take 63/64 of the
    /// batch with it.
    uint256 public constant PAUSE_GAS = 200_000;
    /// @notice Gas that a target gets for one paused(): a proxy and two cold slots take a fifth
    /// of it.
    uint256 public constant READ_GAS = 50_000;
    /// @notice Asked for per target up front, because a batch cut short by a low gas limit
    /// would succeed and pause nothing, and eth_estimateGas would find exactly that limit.
    /// Twice READ_GAS, PAUSE_GAS, the 1/64 kept back (EIP-150), and our own work.
    uint256 public constant GAS_PER_TARGET = 380_000;
    /// @notice A full batch fits below the 2**24 gas that EIP-7825 allows a transaction.
    uint256 public constant MAX_TARGETS = 32;
    /// @notice Bytes copied from a failing target: a selector and seven words. A target may
    /// return a megabyte.
    uint256 public constant MAX_REASON = 228;

    /// @notice Registers, names roles, re-arms, and alone ends a pause early.
    address public immutable admin;
    /// @notice Shortest duration of a call, so that no use is wasted on a pause that ends
    /// before people arrive.
    uint64 public immutable minDuration;
    /// @notice Longest duration of one call, pause or extension, counted from that call.
    uint64 public immutable maxDuration;
    /// @notice Latest end of a pause after it began, all extensions included.
    uint64 public immutable maxTotal;
    /// @notice Silence after which the pauser is disarmed, in seconds.
    uint64 public immutable heartbeatInterval;
    /// @notice Most uses that the pauser can have at any time.
    uint32 public immutable maxUses;

    /// @notice The automatic responder: its pauses are counted, its heartbeat is watched. Zero
    /// for none.
    /// @dev Shares one slot with the next two, so that a pause reads and writes them once.
    address public pauser;
    /// @notice New pauses that the pauser may still make before the admin re-arms it; shared
    /// over all targets.
    uint32 public usesLeft;
    /// @notice When the pauser was last heard of, as the time of a block.
    uint64 public lastHeartbeat;
    /// @notice Humans who may pause and extend without count, heartbeat or not.
    mapping(address who => bool) public people;
    /// @dev A record outlives the registration, because what we paused must stay able to lapse.
    mapping(address target => Record) private records;

    /// @notice The pauser was replaced; zero is nobody.
    /// @param before who was it until now, to be watched for a while longer
    event PauserSet(address indexed before, address indexed pauser);
    /// @notice A person was allowed, or forbidden, to pause.
    event PersonSet(address indexed who, bool allowed);
    /// @notice A target came under this Guardian.
    event Registered(address indexed target);
    /// @notice A target was taken out; a pause of it, if there is one, still lapses.
    event Unregistered(address indexed target);
    /// @notice The admin set the uses and restarted the heartbeat.
    event Rearmed(uint32 uses);
    /// @notice A batch of the pauser paused something new.
    event UseSpent(address indexed by, uint32 usesLeft);
    /// @notice The pauser called `heartbeat`. Its pauses and extensions count too, and have
    /// their own events.
    event HeartbeatSeen(address indexed pauser);
    /// @notice A target is paused by us until `pausedUntil`; `outcome` is Paused or Unverified.
    /// @param by the pauser, a person or the admin
    event TargetPaused(address indexed target, address indexed by, uint64 pausedUntil, Outcome outcome);
    /// @notice A target is not paused although it was asked for, and this is why.
    /// @param reason first bytes of what the target answered; data of a stranger, never text to
    /// be believed
    event TargetNotPaused(address indexed target, address indexed by, Outcome outcome, bytes reason);
    /// @notice Our pause of a target ends later now.
    event TargetExtended(address indexed target, address indexed by, uint64 pausedUntil);
    /// @notice A pause was ended after its time.
    event TargetLapsed(address indexed target, address indexed by);
    /// @notice The admin ended a pause early.
    event TargetResumed(address indexed target);
    /// @notice The admin took a pause over: it lapses no longer.
    event TargetKept(address indexed target);

    /// @notice An address is needed here.
    error ZeroAddress();
    /// @notice The durations must be ordered, above zero and at most a year.
    error BadBounds(uint64 minDuration, uint64 maxDuration, uint64 maxTotal);
    /// @notice Interval and uses must be above zero, the interval at most a year.
    error BadLimits(uint64 heartbeatInterval, uint32 maxUses);
    /// @notice Only the admin may do this.
    error NotAdmin(address who);
    /// @notice Only the pauser has a heartbeat.
    error NotPauser(address who);
    /// @notice Neither the pauser, nor a person, nor the admin.
    error NotArmed(address who);
    /// @notice The pauser was silent for too long: the admin has to `rearm`.
    /// @param lastHeartbeat when the pauser was last heard of
    error HeartbeatLapsed(uint64 lastHeartbeat, uint64 heartbeatInterval);
    /// @notice Nobody holds two of the three roles, because then the uses would not be counted.
    error RoleConflict(address who);
    /// @notice More uses than one re-arming may grant.
    error TooManyUses(uint32 uses, uint32 maxUses);
    /// @notice Ask for a duration within the two bounds.
    error DurationOutOfBounds(uint64 duration, uint64 minDuration, uint64 maxDuration);
    /// @notice Send at least one target and at most `maxTargets`; more go in several calls.
    error BadBatch(uint256 targets, uint256 maxTargets);
    /// @notice Send it again with a gas limit of `needed`, plus 1/63 and the calldata, or more.
    /// @param available gas left when it was checked
    error NotEnoughGas(uint256 available, uint256 needed);
    /// @notice No code there, or `paused()` does not answer with a bool within READ_GAS.
    error NotPausable(address target);
    /// @notice The target is not registered, and no pause of ours is on it.
    error UnknownTarget(address target);
    /// @notice Registering twice hints at a mistake in a script.
    error AlreadyRegistered(address target);
    /// @notice We have no pause on this target; somebody else may.
    error NothingToLapse(address target);
    /// @notice Come back at `pausedUntil`.
    error NotLapsedYet(address target, uint64 pausedUntil);
    /// @notice unpause() was called and the target still says that it is paused, or says
    /// nothing; `reason` is its own.
    /// @param reason at most MAX_REASON bytes
    error StillPaused(address target, bytes reason);

    modifier onlyAdmin() {
        require(msg.sender == admin, NotAdmin(msg.sender));
        _;
    }

    /// @param admin_ re-arms, registers and resumes; a Safe
    /// @param minDuration_ shortest pause in seconds: long enough for a person to arrive
    /// @param maxDuration_ longest single pause or extension, counted from its call
    /// @param maxTotal_ latest end of a pause after its begin, extensions included (deploy
    /// script: 7 days)
    /// @param heartbeatInterval_ silence in seconds after which the pauser is disarmed
    /// @param maxUses_ most uses that one re-arming grants; a new Guardian starts with all of
    /// them, and without a pauser
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
    /// @dev By the pauser while armed, by people and the admin always. Reverts only for the
    /// caller's own mistakes.
    /// @param targets registered ones, at most MAX_TARGETS; a duplicate is paused once
    /// @param duration from now, within the bounds; the same for all
    /// @return results one per target; a use was spent if any is Paused or Unverified
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

    /// @notice Let our pause of every target end `duration` seconds from now instead, never
    /// earlier than it does already.
    /// @dev Open from the pause to its lapse, even past its end as long as nobody lapsed it:
    /// the bound is `maxTotal` anyway.
    /// @param targets any with a pause of ours on it, registered still or not
    /// @param duration from now, within the bounds; cut where `maxTotal` is reached
    /// @return results one per target: Extended, AtLimit or NotPaused
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

    /// @notice End a pause of ours whose time is over. By anybody; works for a target that was
    /// taken out meanwhile too.
    /// @dev Reverts while the target stays paused, so that its record is there for another
    /// attempt.
    function lapse(address target) external nonReentrant {
        uint64 until = records[target].pausedUntil;
        require(until != 0, NothingToLapse(target));
        require(block.timestamp >= until, NotLapsedYet(target, until));
        // Or a caller could starve unpause() of gas and have the record gone with the target
        // still paused.
        require(gasleft() >= GAS_PER_TARGET, NotEnoughGas(gasleft(), GAS_PER_TARGET));
        _clear(target);
        emit TargetLapsed(target, msg.sender);
        _unpause(target);
    }

    /// @notice Say that the pauser is alive. Pausing and extending say it too.
    /// @dev It cannot be called after it lapsed: a thief who finds an old key must find it
    /// dead.
    function heartbeat() external {
        require(msg.sender == pauser, NotPauser(msg.sender));
        _beat();
        emit HeartbeatSeen(msg.sender);
    }

    /// @notice Unpause before the time is over, whoever paused it.
    /// @dev Lifts a pause that somebody else made as well, because the admin answers for the
    /// target as a whole, and because a record may be missing.
    function resume(address target) external onlyAdmin nonReentrant {
        Record storage record = records[target];
        require(record.registered || record.pausedUntil != 0, UnknownTarget(target));
        _clear(target);
        emit TargetResumed(target);
        _unpause(target);
    }

    /// @notice Take a pause over: it stays, but no longer lapses. For an attack that outlives
    /// `maxTotal`, and for a record that went stale because somebody unpaused the target
    /// directly.
    /// @param target one with a pause of ours on it; `resume` is the way back
    function keep(address target) external onlyAdmin nonReentrant {
        require(records[target].pausedUntil != 0, NothingToLapse(target));
        _clear(target);
        emit TargetKept(target);
    }

    /// @notice Grant `uses` (not in addition to what is left) and restart the pauser's heartbeat.
    /// @param uses from zero, which disarms the pauser, to `maxUses`
    function rearm(uint32 uses) external onlyAdmin nonReentrant {
        require(uses <= maxUses, TooManyUses(uses, maxUses));
        usesLeft = uses;
        lastHeartbeat = uint64(block.timestamp);
        emit Rearmed(uses);
    }

    /// @notice Replace the pauser, or remove him with address zero. Uses stay as they are:
    /// `rearm` grants them.
    /// @dev His heartbeat starts now, because a new key deserves a full interval.
    function setPauser(address who) external onlyAdmin nonReentrant {
        // A pauser who is also a person would pause without count.
        require(who != admin && !people[who], RoleConflict(who));
        address before = pauser;
        pauser = who;
        lastHeartbeat = uint64(block.timestamp);
        emit PauserSet(before, who);
    }

    /// @notice Allow or forbid a person to pause and extend.
    /// @dev The pauser is refused, not only the admin: see `setPauser`.
    function setPerson(address who, bool allowed) external onlyAdmin nonReentrant {
        require(who != address(0), ZeroAddress());
        require(!allowed || (who != pauser && who != admin), RoleConflict(who));
        people[who] = allowed;
        emit PersonSet(who, allowed);
    }

    /// @notice Put a target under the power of this Guardian. Granting it the target's pauser
    /// role is the target's own matter.
    /// @dev Must answer `paused()` now, because a mistyped address should not be found out in
    /// the attack.
    function register(address target) external onlyAdmin nonReentrant {
        require(!records[target].registered, AlreadyRegistered(target));
        require(target.code.length > 0 && _read(target) != Reading.Unreadable, NotPausable(target));
        records[target].registered = true;
        emit Registered(target);
    }

    /// @notice Take a target out. A pause of ours on it keeps its record, because it must
    /// still be able to lapse.
    /// @param target registered; it may be registered again, and then finds its record
    function unregister(address target) external onlyAdmin nonReentrant {
        require(records[target].registered, UnknownTarget(target));
        records[target].registered = false;
        emit Unregistered(target);
    }

    /// @notice Could `who` newly pause something in the next call?
    /// @dev A person and the admin always; the pauser while his heartbeat and his uses last.
    /// Says nothing about whether a target would obey.
    function armed(address who) external view returns (bool) {
        if (who == admin || people[who]) return true;
        return who != address(0) && who == pauser && _alive() && usesLeft > 0;
    }

    /// @notice When our pause of `target` ends; 0 without one.
    /// @dev Past this time anybody may call `lapse`; until somebody does the target stays
    /// paused.
    function pausedUntil(address target) external view returns (uint64) {
        return records[target].pausedUntil;
    }

    /// @notice All about one target, `paused()` asked with bounded gas.
    /// @dev Never reverts, whatever the target does.
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
    /// @dev Left at the first line, that is after the 21,000 and the calldata of the
    /// transaction. It is a limit, not a cost: a pause of one honest target uses 72,000 in all.
    function gasNeeded(uint256 targets) public pure returns (uint256) {
        return targets * GAS_PER_TARGET;
    }

    /// @dev Who calls, with what, with how much gas. Checks everything that is the caller's own
    /// mistake, so that past this line no target and no order of targets makes a batch revert.
    /// @return counted true for the pauser, whose new pauses cost uses
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

    /// @dev Records after the call, not before: what is recorded depends on what the call did,
    /// and the guard keeps a target from coming back in between.
    /// @param until end of a new pause
    /// @param allowed whether a new pause is paid for: not counted, already paid in this batch,
    /// or a use is left
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

    /// @dev Reads, calls, reads again. Reads first because OpenZeppelin's pause() reverts on a
    /// paused contract, and because a pause by somebody else must not become ours.
    /// @return what happened, and the first bytes of the target's answer if it failed
    function _tryPause(address target, bool allowed) private returns (Outcome, bytes memory reason) {
        Record memory record = records[target];
        if (!record.registered) return (Outcome.NotRegistered, "");
        if (target.code.length == 0) return (Outcome.NoCode, "");
        if (_read(target) == Reading.Yes) {
            // Ours and over, but not lapsed yet: anybody could end it in the next block, so
            // this is a pause anew, at its price.
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

    /// @dev Moves the end of a record; the target itself is only read.
    /// @param until the end that is asked for, before `maxTotal` cuts it
    function _extendOne(address target, uint64 until) private returns (Result memory result) {
        Record storage record = records[target];
        result.target = target;
        result.pausedUntil = record.pausedUntil;
        // Unreadable counts as paused: between losing protection and a longer record, the
        // longer record.
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

    /// @dev Always calls, even if `paused()` says no already, because it may lie; what counts
    /// is that it does not say yes after.
    function _unpause(address target) private {
        (bool ok, bytes memory reason) = _call(target, abi.encodeCall(IPausable.unpause, ()), gasleft());
        Reading reading = _read(target);
        // A target that was unpaused meanwhile reverts and says no: fine. One that reverts and
        // cannot be read: not fine.
        require(reading == Reading.No || (ok && reading == Reading.Unreadable), StillPaused(target, reason));
    }

    /// @dev Refuses the pauser once lapsed, else notes that he is there.
    function _beat() private {
        require(_alive(), HeartbeatLapsed(lastHeartbeat, heartbeatInterval));
        lastHeartbeat = uint64(block.timestamp);
    }

    /// @dev The last second of the interval still counts.
    function _alive() private view returns (bool) {
        return block.timestamp <= lastHeartbeat + heartbeatInterval;
    }

    /// @dev Forgets a pause of ours and leaves the registration.
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

    /// @dev Assembly because Solidity copies all return data: within PAUSE_GAS a target can
    /// return 300 kB, and the memory for a few such copies costs this batch quadratically more
    /// gas than it has. Here at most MAX_REASON bytes are copied.
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

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Guardian} from "../src/Guardian.sol";
import {Target} from "./Target.sol";
import {Test} from "./Test.sol";

/// @notice Everything that a thief of the pauser's key, strangers, the targets' own owner and time can do, while the admin is away.
contract GuardianHandler is Test {
    Guardian public immutable GUARDIAN;
    Target[4] public targets;
    address private immutable THIEF;

    mapping(address target => uint256) public pausesByThief;
    mapping(address target => bool) public pausedByOwner;
    mapping(address target => uint256) public pausedSince; // by the Guardian, 0 if not
    mapping(address target => uint256) public longest;
    uint256 public spent;
    uint256 public entered; // times that a stranger got through

    constructor(Guardian guardian, Target[4] memory targets_, address thief) {
        (GUARDIAN, targets, THIEF) = (guardian, targets_, thief);
    }

    function steal(uint8 mask, uint64 duration) external {
        address[] memory list = chosen(mask);
        vm.prank(THIEF);
        try GUARDIAN.pause(list, uint64(bound(duration, 1 hours, 6 hours))) returns (Guardian.Result[] memory results) {
            bool fresh;
            for (uint256 i = 0; i < results.length; ++i) {
                if (results[i].outcome != Guardian.Outcome.Paused) continue;
                fresh = true;
                ++pausesByThief[list[i]];
                pausedSince[list[i]] = block.timestamp;
            }
            if (fresh) ++spent;
        } catch {} // his heartbeat lapsed
    }

    function prolong(uint8 mask, uint64 duration) external {
        address[] memory list = chosen(mask);
        vm.prank(THIEF);
        try GUARDIAN.extend(list, uint64(bound(duration, 1 hours, 6 hours))) {} catch {}
    }

    function beat() external {
        vm.prank(THIEF);
        try GUARDIAN.heartbeat() {} catch {}
    }

    function intrude(uint160 who, uint8 which) external {
        address stranger = address(uint160(bound(who, 1, type(uint160).max)));
        if (stranger == THIEF || stranger == GUARDIAN.admin() || GUARDIAN.people(stranger)) return;
        vm.prank(stranger);
        try GUARDIAN.pause(one(address(targets[which % 4])), 1 hours) {
            ++entered;
        } catch {}
        vm.prank(stranger);
        try GUARDIAN.resume(address(targets[which % 4])) {
            ++entered;
        } catch {}
    }

    /// @dev The target's own owner pauses and ends his own pauses, past the Guardian.
    function own(uint8 which) external {
        Target target = targets[which % 4];
        if (target.paused() && !pausedByOwner[address(target)]) return;
        pausedByOwner[address(target)] = !pausedByOwner[address(target)];
        target.setTruth(pausedByOwner[address(target)]);
    }

    /// @dev Time goes on, and somebody lapses whatever can be lapsed as soon as he looks.
    function wait(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 1, 5 hours));
        for (uint256 i = 0; i < 4; ++i) {
            address target = address(targets[i]);
            if (!GUARDIAN.status(target).lapsable) continue;
            uint256 until = GUARDIAN.pausedUntil(target);
            if (until - pausedSince[target] > longest[target]) longest[target] = until - pausedSince[target];
            GUARDIAN.lapse(target);
            pausedSince[target] = 0;
        }
    }

    function chosen(uint8 mask) private view returns (address[] memory list) {
        uint256 count;
        for (uint256 i = 0; i < 4; ++i) {
            if (mask >> i & 1 == 1) ++count;
        }
        list = new address[](count == 0 ? 1 : count);
        list[0] = address(targets[0]);
        count = 0;
        for (uint256 i = 0; i < 4; ++i) {
            if (mask >> i & 1 == 1) list[count++] = address(targets[i]);
        }
    }
}

contract GuardianInvariantTest is Test {
    uint64 private constant TOTAL = 1 days;
    uint32 private constant USES = 3;

    address private admin = named("admin");
    address private person = named("person");
    Guardian private guardian;
    GuardianHandler private handler;

    function setUp() public {
        guardian = new Guardian(admin, 1 hours, 6 hours, TOTAL, 2 days, USES);
        Target[4] memory targets = [new Target(), new Target(), new Target(), new Target()];
        vm.startPrank(admin);
        guardian.setPauser(named("pauser"));
        guardian.setPerson(person, true);
        for (uint256 i = 0; i < 3; ++i) {
            guardian.register(address(targets[i])); // the fourth is not ours
        }
        vm.stopPrank();
        handler = new GuardianHandler(guardian, targets, named("pauser"));
    }

    function targetContracts() external view returns (address[] memory) {
        return one(address(handler));
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = handler.steal.selector;
        selectors[1] = handler.prolong.selector;
        selectors[2] = handler.beat.selector;
        selectors[3] = handler.intrude.selector;
        selectors[4] = handler.own.selector;
        selectors[5] = handler.wait.selector;
        list = new FuzzSelector[](1);
        list[0] = FuzzSelector(address(handler), selectors);
    }

    /// @dev k times, and each time no longer than the total.
    function invariant_a_thief_pauses_each_target_a_few_times_for_a_bounded_time() public view {
        assertLe(handler.spent(), USES, "uses");
        assertEq(guardian.usesLeft(), USES - handler.spent(), "each new pause was counted");
        for (uint256 i = 0; i < 4; ++i) {
            address target = address(handler.targets(i));
            Guardian.Status memory status = guardian.status(target);
            assertLe(handler.pausesByThief(target), USES, "times");
            assertLe(handler.longest(target), TOTAL, "longest pause so far");
            assertLe(status.pausedUntil, status.pausedAt + TOTAL, "the one that runs");
        }
    }

    function invariant_only_registered_targets_are_ever_paused() public view {
        Target fourth = handler.targets(3);
        assertEq(fourth.pauses(), 0, "called");
        assertTrue(fourth.paused() == handler.pausedByOwner(address(fourth)), "its owner alone decides");
    }

    function invariant_a_pause_by_the_owner_is_never_lifted() public view {
        for (uint256 i = 0; i < 4; ++i) {
            Target target = handler.targets(i);
            if (handler.pausedByOwner(address(target))) assertTrue(target.paused(), "still paused");
            else assertTrue(target.paused() == (guardian.pausedUntil(address(target)) != 0), "ours, on record");
        }
    }

    function invariant_there_is_always_somebody_who_can_pause() public view {
        assertTrue(guardian.armed(person) && guardian.armed(admin), "people and admin");
        assertEq(handler.entered(), 0, "and no stranger");
    }

    /// @dev Whatever happened, a total later anybody can end it all.
    function afterInvariant() external {
        vm.warp(block.timestamp + TOTAL);
        for (uint256 i = 0; i < 4; ++i) {
            Target target = handler.targets(i);
            if (guardian.pausedUntil(address(target)) == 0) continue;
            guardian.lapse(address(target));
            assertFalse(target.paused(), "ended");
        }
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Guardian} from "../src/Guardian.sol";
import {GuardianFixture} from "./GuardianFixture.sol";
import {Target} from "./Target.sol";
import {Test} from "./Test.sol";

contract GuardianSettingsTest is Test {
    address internal admin = named("admin");

    function test_it_starts_with_all_uses_and_no_pauser() public {
        Guardian guardian = new Guardian(admin, 1, 2, 3, 4, 5);
        assertEq(guardian.admin(), admin, "admin");
        assertEq(guardian.minDuration(), 1, "minDuration");
        assertEq(guardian.maxDuration(), 2, "maxDuration");
        assertEq(guardian.maxTotal(), 3, "maxTotal");
        assertEq(guardian.heartbeatInterval(), 4, "heartbeatInterval");
        assertEq(guardian.maxUses(), 5, "maxUses");
        assertEq(guardian.usesLeft(), 5, "usesLeft");
        assertEq(guardian.pauser(), address(0), "pauser");
        assertFalse(guardian.armed(address(0)), "nobody is not armed");
    }

    function test_it_needs_an_admin() public {
        vm.expectRevert(Guardian.ZeroAddress.selector);
        new Guardian(address(0), 1, 2, 3, 4, 5);
    }

    function test_durations_are_ordered_and_bounded() public {
        refused(0, 2, 3);
        refused(3, 2, 3);
        refused(1, 4, 3);
        refused(1, 2, 365 days + 1);
        new Guardian(admin, 1, 1, 1, 1, 1);
        new Guardian(admin, 1, 2, 365 days, 365 days, type(uint32).max);
    }

    function test_heartbeat_and_uses_are_bounded() public {
        vm.expectRevert(abi.encodeWithSelector(Guardian.BadLimits.selector, 0, 5));
        new Guardian(admin, 1, 2, 3, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Guardian.BadLimits.selector, 365 days + 1, 5));
        new Guardian(admin, 1, 2, 3, 365 days + 1, 5);
        vm.expectRevert(abi.encodeWithSelector(Guardian.BadLimits.selector, 4, 0));
        new Guardian(admin, 1, 2, 3, 4, 0);
    }

    function refused(uint64 low, uint64 high, uint64 total) private {
        vm.expectRevert(abi.encodeWithSelector(Guardian.BadBounds.selector, low, high, total));
        new Guardian(admin, low, high, total, 4, 5);
    }
}

contract GuardianPauseTest is GuardianFixture {
    function test_the_pauser_pauses_for_the_time_asked() public {
        vm.expectEmit();
        emit Guardian.TargetPaused(address(a), pauser, uint64(block.timestamp) + MIN, Guardian.Outcome.Paused);
        vm.expectEmit();
        emit Guardian.UseSpent(pauser, USES - 1);
        Guardian.Result memory result = pause(pauser, address(a), MIN);
        assertOutcome(result, Guardian.Outcome.Paused);
        assertEq(result.target, address(a), "target");
        assertEq(result.pausedUntil, block.timestamp + MIN, "until");
        assertEq(result.reason, "", "no reason");
        assertTrue(a.paused(), "paused");
        assertEq(guardian.pausedUntil(address(a)), block.timestamp + MIN, "recorded");
    }

    function test_a_batch_costs_one_use() public {
        vm.prank(pauser);
        Guardian.Result[] memory results = guardian.pause(all(), MAX);
        for (uint256 i = 0; i < 3; ++i) {
            assertOutcome(results[i], Guardian.Outcome.Paused);
        }
        assertTrue(a.paused() && b.paused() && c.paused(), "all");
        assertEq(guardian.usesLeft(), USES - 1, "one use");
    }

    function test_people_and_the_admin_pause_without_a_use() public {
        assertOutcome(pause(person, address(a), MIN), Guardian.Outcome.Paused);
        assertOutcome(pause(admin, address(b), MIN), Guardian.Outcome.Paused);
        assertEq(guardian.usesLeft(), USES, "none spent");
        assertEq(guardian.lastHeartbeat(), block.timestamp, "not a heartbeat of theirs");
    }

    function test_nobody_else_pauses() public {
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotArmed.selector, stranger));
        pause(stranger, address(a), MIN);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotArmed.selector, stranger));
        extend(stranger, address(a), MIN);
    }

    function test_the_duration_has_bounds() public {
        refused(MIN - 1);
        refused(MAX + 1);
        refused(0);
        refused(type(uint64).max);
        assertOutcome(pause(pauser, address(a), MIN), Guardian.Outcome.Paused);
        assertOutcome(pause(pauser, address(b), MIN + 1), Guardian.Outcome.Paused);
        assertOutcome(pause(pauser, address(c), MAX), Guardian.Outcome.Paused);
    }

    function refused(uint64 duration) private {
        vm.expectRevert(abi.encodeWithSelector(Guardian.DurationOutOfBounds.selector, duration, MIN, MAX));
        pause(pauser, address(a), duration);
    }

    function test_a_batch_has_bounds() public {
        vm.startPrank(pauser);
        vm.expectRevert(abi.encodeWithSelector(Guardian.BadBatch.selector, 0, 32));
        guardian.pause(new address[](0), MIN);
        vm.expectRevert(abi.encodeWithSelector(Guardian.BadBatch.selector, 33, 32));
        guardian.pause(new address[](33), MIN);
        assertEq(guardian.pause(new address[](32), MIN).length, 32, "the most");
        vm.stopPrank();
    }

    function test_pausing_again_is_harmless_and_free() public {
        pause(pauser, address(a), MIN);
        skip(10);
        Guardian.Result memory result = pause(pauser, address(a), MAX);
        assertOutcome(result, Guardian.Outcome.AlreadyPaused);
        assertEq(result.pausedUntil, block.timestamp - 10 + MIN, "and not longer: that is extend's");
        assertEq(guardian.usesLeft(), USES - 1, "one use");
    }

    function test_the_same_target_twice_in_a_batch_is_paused_once() public {
        address[] memory list = all();
        list[1] = list[0];
        vm.prank(pauser);
        Guardian.Result[] memory results = guardian.pause(list, MIN);
        assertOutcome(results[1], Guardian.Outcome.AlreadyPaused);
        assertEq(a.pauses(), 1, "called once");
    }

    function test_somebody_else_s_pause_is_left_alone() public {
        a.setTruth(true);
        Guardian.Result memory result = pause(pauser, address(a), MIN);
        assertOutcome(result, Guardian.Outcome.AlreadyPaused);
        assertEq(result.pausedUntil, 0, "not ours");
        assertEq(guardian.usesLeft(), USES, "free");
        skip(MAX);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NothingToLapse.selector, address(a)));
        guardian.lapse(address(a));
    }

    function test_a_pause_that_is_over_but_not_lapsed_is_paused_anew_for_a_use() public {
        pause(pauser, address(a), MIN);
        skip(MIN - 1);
        assertOutcome(pause(pauser, address(a), MIN), Guardian.Outcome.AlreadyPaused);
        skip(1);
        Guardian.Result memory result = pause(pauser, address(a), MIN);
        assertOutcome(result, Guardian.Outcome.Paused);
        assertEq(result.pausedUntil, block.timestamp + MIN, "from now");
        assertEq(guardian.status(address(a)).pausedAt, block.timestamp, "its total counts from now too");
        assertEq(guardian.usesLeft(), USES - 2, "two uses");
        assertEq(a.pauses(), 1, "it was paused all along");
    }

    function test_a_target_that_was_unpaused_directly_can_be_paused_again() public {
        pause(pauser, address(a), MAX);
        a.setTruth(false);
        assertOutcome(pause(pauser, address(a), MIN), Guardian.Outcome.Paused);
        assertEq(guardian.pausedUntil(address(a)), block.timestamp + MIN, "a new record");
        assertEq(guardian.usesLeft(), USES - 2, "two uses");
    }
}

contract GuardianUsesTest is GuardianFixture {
    function spendAll() internal {
        pause(pauser, address(a), MIN);
        pause(pauser, address(b), MIN);
        pause(pauser, address(c), MIN);
    }

    function test_without_uses_the_pauser_pauses_nothing_new() public {
        spendAll();
        assertFalse(guardian.armed(pauser), "armed");
        skip(MIN);
        guardian.lapse(address(a));
        vm.expectEmit();
        emit Guardian.TargetNotPaused(address(a), pauser, Guardian.Outcome.NoUsesLeft, "");
        assertOutcome(pause(pauser, address(a), MIN), Guardian.Outcome.NoUsesLeft);
        assertFalse(a.paused(), "not paused");
        assertOutcome(pause(pauser, address(b), MIN), Guardian.Outcome.NoUsesLeft);
        assertTrue(guardian.status(address(b)).lapsable, "over, not renewed");
    }

    function test_without_uses_people_still_pause() public {
        spendAll();
        skip(MIN);
        guardian.lapse(address(a));
        assertTrue(guardian.armed(person) && guardian.armed(admin), "armed");
        assertOutcome(pause(person, address(a), MIN), Guardian.Outcome.Paused);
    }

    function test_without_uses_what_is_paused_can_be_extended() public {
        spendAll();
        assertOutcome(extend(pauser, address(a), MAX), Guardian.Outcome.Extended);
        assertEq(guardian.usesLeft(), 0, "free");
    }

    function test_the_last_use_still_covers_a_whole_batch() public {
        vm.prank(admin);
        guardian.rearm(1);
        vm.prank(pauser);
        Guardian.Result[] memory results = guardian.pause(all(), MIN);
        assertOutcome(results[2], Guardian.Outcome.Paused);
        assertEq(guardian.usesLeft(), 0, "none left");
    }

    function test_a_call_that_pauses_nothing_is_free() public {
        a.setMode(Target.Mode.PauseReverts);
        assertOutcome(pause(pauser, address(a), MIN), Guardian.Outcome.CallFailed);
        assertEq(guardian.usesLeft(), USES, "free");
    }

    function test_rearming_replaces_what_is_left_within_the_bound() public {
        spendAll();
        vm.startPrank(admin);
        vm.expectRevert(abi.encodeWithSelector(Guardian.TooManyUses.selector, USES + 1, USES));
        guardian.rearm(USES + 1);
        vm.expectEmit();
        emit Guardian.Rearmed(USES);
        guardian.rearm(USES);
        assertEq(guardian.usesLeft(), USES, "at the bound");
        guardian.rearm(USES - 1);
        assertEq(guardian.usesLeft(), USES - 1, "below, not in addition");
        guardian.rearm(0);
        assertFalse(guardian.armed(pauser), "zero disarms");
        vm.stopPrank();
    }

    function test_only_the_admin_rearms() public {
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotAdmin.selector, pauser));
        vm.prank(pauser);
        guardian.rearm(1);
    }
}

contract GuardianFailingTargetsTest is GuardianFixture {
    /// @dev b fails in some way between a and c, which must be paused all the same.
    function batch(Target.Mode mode) internal returns (Guardian.Result memory) {
        b.setMode(mode);
        uint256 before = gasleft();
        vm.prank(pauser);
        Guardian.Result[] memory results = guardian.pause(all(), MIN);
        assertLe(before - gasleft(), 3 * guardian.GAS_PER_TARGET(), "gas of the whole batch");
        assertOutcome(results[0], Guardian.Outcome.Paused);
        assertOutcome(results[2], Guardian.Outcome.Paused);
        assertTrue(a.paused() && c.paused(), "the others are paused");
        assertLe(results[1].reason.length, guardian.MAX_REASON(), "reason is bounded");
        return results[1];
    }

    function test_one_that_reverts_says_why() public {
        Guardian.Result memory result = batch(Target.Mode.PauseReverts);
        assertOutcome(result, Guardian.Outcome.CallFailed);
        assertEq(result.reason, abi.encodeWithSelector(Target.Refused.selector, "not today"), "reason");
        assertEq(result.pausedUntil, 0, "no record");
    }

    function test_one_that_burns_all_gas_burns_its_own() public {
        Guardian.Result memory result = batch(Target.Mode.PauseBurnsGas);
        assertOutcome(result, Guardian.Outcome.CallFailed);
        assertEq(result.reason, "", "no reason");
    }

    function test_one_that_reverts_with_much_is_cut_short() public {
        Guardian.Result memory result = batch(Target.Mode.PauseRevertsWithMuch);
        assertOutcome(result, Guardian.Outcome.CallFailed);
        assertEq(result.reason.length, guardian.MAX_REASON(), "cut");
    }

    function test_one_that_returns_much_is_paused() public {
        assertOutcome(batch(Target.Mode.PauseReturnsMuch), Guardian.Outcome.Paused);
        assertTrue(b.paused(), "paused");
    }

    function test_one_that_does_nothing_is_unverified() public {
        Guardian.Result memory result = batch(Target.Mode.PauseDoesNothing);
        assertOutcome(result, Guardian.Outcome.Unverified);
        assertEq(result.pausedUntil, block.timestamp + MIN, "recorded, in case it did");
    }

    function test_one_that_says_it_is_paused_harms_only_itself() public {
        assertOutcome(batch(Target.Mode.SaysPaused), Guardian.Outcome.AlreadyPaused);
        assertEq(guardian.pausedUntil(address(b)), 0, "no record");
    }

    function test_one_that_says_it_is_not_can_still_lapse() public {
        Guardian.Result memory result = batch(Target.Mode.SaysNotPaused);
        assertOutcome(result, Guardian.Outcome.Unverified);
        assertTrue(b.truth(), "paused in truth");
        skip(MIN);
        guardian.lapse(address(b));
        assertFalse(b.truth(), "lapsed in truth");
    }

    function test_ones_that_cannot_be_read_are_unverified() public {
        unreadable(Target.Mode.ReadReverts);
        unreadable(Target.Mode.ReadBurnsGas);
        unreadable(Target.Mode.ReadReturnsGarbage);
        unreadable(Target.Mode.ReadReturnsNothing);
    }

    function unreadable(Target.Mode mode) private {
        uint256 id = vm.snapshotState();
        assertOutcome(batch(mode), Guardian.Outcome.Unverified);
        assertTrue(b.truth(), "paused in truth");
        assertEq(uint256(guardian.status(address(b)).paused), uint256(Guardian.Reading.Unreadable), "status");
        skip(MIN);
        guardian.lapse(address(b));
        assertFalse(b.truth(), "and it lapses");
        vm.revertToState(id);
    }

    function test_a_short_answer_is_not_filled_up_from_memory() public {
        // The last byte of the address is what memory would fill up with: here zero, which would read as "no".
        Target d = Target(address(0xAB00));
        vm.etch(address(d), address(a).code);
        d.setMode(Target.Mode.ReadReturnsNothing);
        assertEq(uint256(guardian.status(address(d)).paused), uint256(Guardian.Reading.Unreadable), "status");
    }

    function test_one_whose_answer_is_long_is_read_by_its_first_word() public {
        assertOutcome(batch(Target.Mode.ReadReturnsMuch), Guardian.Outcome.Paused);
    }

    function test_an_unverified_pause_spends_a_use() public {
        a.setMode(Target.Mode.PauseDoesNothing);
        pause(pauser, address(a), MIN);
        assertEq(guardian.usesLeft(), USES - 1, "it may be paused");
    }

    function test_one_that_is_not_registered_is_not_called() public {
        Target d = new Target();
        vm.expectEmit();
        emit Guardian.TargetNotPaused(address(d), pauser, Guardian.Outcome.NotRegistered, "");
        assertOutcome(pause(pauser, address(d), MIN), Guardian.Outcome.NotRegistered);
        assertFalse(d.paused(), "untouched");
    }

    function test_one_that_is_gone_is_said_to_be() public {
        vm.etch(address(a), "");
        assertOutcome(pause(pauser, address(a), MIN), Guardian.Outcome.NoCode);
        assertEq(guardian.usesLeft(), USES, "free");
    }

    function test_the_worst_batch_stays_within_the_gas_asked_for() public {
        address[] memory list = new address[](32);
        for (uint256 i = 0; i < 32; ++i) {
            Target bad = new Target();
            vm.prank(admin);
            guardian.register(address(bad));
            // The costliest way to fail: every read and the call burn or return all they can.
            bad.setMode(i % 2 == 0 ? Target.Mode.PauseRevertsWithMuch : Target.Mode.PauseBurnsGas);
            list[i] = address(bad);
        }
        list[31] = address(a);
        uint256 needed = guardian.gasNeeded(32);
        vm.prank(pauser);
        Guardian.Result[] memory results = guardian.pause{gas: needed + 50_000 + needed / 63}(list, MIN);
        assertOutcome(results[31], Guardian.Outcome.Paused);
        assertLe(needed + 50_000, 1 << 24, "below EIP-7825's bound for a transaction");
    }
}

contract GuardianGasTest is GuardianFixture {
    /// @dev With too little gas the call reverts instead of pausing nothing, so that an estimate finds enough.
    function test_too_little_gas_reverts() public {
        uint256 needed = guardian.gasNeeded(1);
        assertEq(needed, guardian.GAS_PER_TARGET(), "for one");
        vm.expectPartialRevert(Guardian.NotEnoughGas.selector);
        vm.prank(pauser);
        guardian.pause{gas: needed}(one(address(a)), MIN);
        pause(pauser, address(b), MIN);
        vm.expectPartialRevert(Guardian.NotEnoughGas.selector);
        vm.prank(pauser);
        guardian.extend{gas: needed}(one(address(b)), MAX);
        skip(MIN);
        vm.expectPartialRevert(Guardian.NotEnoughGas.selector);
        guardian.lapse{gas: needed}(address(b));
    }

    function testFuzz_whatever_the_gas_it_pauses_or_reverts(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 30_000, 1_000_000);
        vm.prank(pauser);
        try guardian.pause{gas: gasLimit}(one(address(a)), MIN) returns (Guardian.Result[] memory results) {
            assertOutcome(results[0], Guardian.Outcome.Paused);
            assertTrue(a.paused(), "paused");
        } catch {
            assertFalse(a.paused(), "not paused");
            assertLe(gasLimit, guardian.GAS_PER_TARGET() + 60_000, "with this much it works");
        }
    }

    function testFuzz_whatever_the_gas_a_lapse_unpauses_or_reverts(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 30_000, 600_000);
        a.setMode(Target.Mode.SaysNotPaused);
        pause(pauser, address(a), MIN);
        skip(MIN);
        try guardian.lapse{gas: gasLimit}(address(a)) {
            assertFalse(a.truth(), "unpaused");
        } catch {
            assertTrue(guardian.pausedUntil(address(a)) != 0, "still ours to lapse");
        }
    }

    /// @dev In a transaction of its own 72,000, with the target's write: little, so that it outbids a heavy attack cheaply.
    function test_a_pause_of_one_target_is_cheap() public {
        vm.prank(pauser);
        uint256 before = gasleft();
        guardian.pause(one(address(a)), MIN);
        assertLe(before - gasleft(), 130_000, "gas, the target's own writes included");
    }
}

contract GuardianExtendTest is GuardianFixture {
    function setUp() public override {
        super.setUp();
        pause(pauser, address(a), MIN);
    }

    function test_it_ends_later_counted_from_now() public {
        skip(100);
        vm.expectEmit();
        emit Guardian.TargetExtended(address(a), person, uint64(block.timestamp) + MAX);
        Guardian.Result memory result = extend(person, address(a), MAX);
        assertOutcome(result, Guardian.Outcome.Extended);
        assertEq(result.pausedUntil, block.timestamp + MAX, "until");
        assertEq(guardian.usesLeft(), USES - 1, "free");
    }

    function test_it_never_ends_earlier() public {
        extend(pauser, address(a), MAX);
        uint64 until = guardian.pausedUntil(address(a));
        assertOutcome(extend(pauser, address(a), MIN), Guardian.Outcome.AtLimit);
        assertOutcome(extend(pauser, address(a), MAX), Guardian.Outcome.AtLimit);
        assertEq(guardian.pausedUntil(address(a)), until, "unchanged");
    }

    function test_it_ends_at_most_a_total_after_the_pause_began() public {
        uint256 began = block.timestamp;
        for (uint256 i = 0; i < 3; ++i) {
            skip(MAX);
            assertOutcome(extend(pauser, address(a), MAX), Guardian.Outcome.Extended);
        }
        assertEq(guardian.pausedUntil(address(a)), began + TOTAL, "just at the total");
        skip(1);
        assertOutcome(extend(pauser, address(a), MAX), Guardian.Outcome.AtLimit);
        assertEq(guardian.pausedUntil(address(a)), began + TOTAL, "and no further");
    }

    function test_the_total_cuts_an_extension_short() public {
        uint256 began = block.timestamp;
        for (uint256 i = 0; i < 3; ++i) {
            skip(MAX - 1);
            extend(pauser, address(a), MAX);
        }
        skip(MAX - 1);
        Guardian.Result memory result = extend(pauser, address(a), MAX);
        assertOutcome(result, Guardian.Outcome.Extended);
        assertEq(result.pausedUntil, began + TOTAL, "by the three seconds left");
    }

    function test_over_but_not_lapsed_it_can_still_be_extended() public {
        skip(MIN + 5);
        assertOutcome(extend(pauser, address(a), MIN), Guardian.Outcome.Extended);
        vm.expectRevert(
            abi.encodeWithSelector(Guardian.NotLapsedYet.selector, address(a), uint64(block.timestamp) + MIN)
        );
        guardian.lapse(address(a));
    }

    function test_long_over_it_cannot() public {
        skip(TOTAL - 1);
        uint256 id = vm.snapshotState();
        assertEq(extend(pauser, address(a), MIN).pausedUntil, block.timestamp + 1, "one second is left");
        vm.revertToState(id);
        skip(1);
        assertOutcome(extend(pauser, address(a), MIN), Guardian.Outcome.AtLimit);
        skip(1);
        assertOutcome(extend(pauser, address(a), MIN), Guardian.Outcome.AtLimit);
    }

    function test_there_must_be_a_pause_of_ours() public {
        assertOutcome(extend(pauser, address(b), MIN), Guardian.Outcome.NotPaused);
        b.setTruth(true);
        assertOutcome(extend(pauser, address(b), MIN), Guardian.Outcome.NotPaused);
        a.setTruth(false);
        assertOutcome(extend(pauser, address(a), MAX), Guardian.Outcome.NotPaused);
    }

    function test_one_that_cannot_be_read_is_extended() public {
        a.setMode(Target.Mode.ReadReverts);
        assertOutcome(extend(pauser, address(a), MAX), Guardian.Outcome.Extended);
    }

    function test_one_that_was_taken_out_is_extended() public {
        vm.prank(admin);
        guardian.unregister(address(a));
        assertOutcome(extend(pauser, address(a), MAX), Guardian.Outcome.Extended);
    }

    function test_the_duration_has_bounds_here_too() public {
        vm.expectRevert(abi.encodeWithSelector(Guardian.DurationOutOfBounds.selector, MAX + 1, MIN, MAX));
        extend(pauser, address(a), MAX + 1);
        vm.expectRevert(abi.encodeWithSelector(Guardian.DurationOutOfBounds.selector, MIN - 1, MIN, MAX));
        extend(pauser, address(a), MIN - 1);
    }
}

contract GuardianLapseTest is GuardianFixture {
    function setUp() public override {
        super.setUp();
        pause(pauser, address(a), MIN);
    }

    function test_anybody_ends_it_once_its_time_is_over() public {
        skip(MIN - 1);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotLapsedYet.selector, address(a), uint64(block.timestamp) + 1));
        guardian.lapse(address(a));
        assertFalse(guardian.status(address(a)).lapsable, "not yet");
        skip(1);
        assertTrue(guardian.status(address(a)).lapsable, "now");
        vm.expectEmit();
        emit Guardian.TargetLapsed(address(a), stranger);
        vm.prank(stranger);
        guardian.lapse(address(a));
        assertFalse(a.paused(), "unpaused");
        assertEq(guardian.pausedUntil(address(a)), 0, "no record");
    }

    function test_there_is_nothing_to_lapse_twice() public {
        skip(MIN + 1);
        guardian.lapse(address(a));
        vm.expectRevert(abi.encodeWithSelector(Guardian.NothingToLapse.selector, address(a)));
        guardian.lapse(address(a));
    }

    function test_it_works_without_the_pauser_his_heartbeat_or_registration() public {
        vm.startPrank(admin);
        guardian.setPauser(address(0));
        guardian.unregister(address(a));
        vm.stopPrank();
        skip(BEAT + 1);
        guardian.lapse(address(a));
        assertFalse(a.paused(), "unpaused");
    }

    function test_one_that_was_unpaused_meanwhile_only_loses_its_record() public {
        a.setTruth(false);
        skip(MIN);
        guardian.lapse(address(a));
        assertEq(guardian.pausedUntil(address(a)), 0, "no record");
    }

    function test_one_that_stays_paused_keeps_its_record() public {
        a.setMode(Target.Mode.UnpauseReverts);
        skip(MIN);
        bytes memory reason = abi.encodeWithSelector(Target.Refused.selector, "stuck");
        vm.expectRevert(abi.encodeWithSelector(Guardian.StillPaused.selector, address(a), reason));
        guardian.lapse(address(a));
        assertTrue(guardian.status(address(a)).lapsable, "try again later");
        a.setMode(Target.Mode.Honest);
        guardian.lapse(address(a));
        assertFalse(a.paused(), "unpaused");
    }

    function test_one_that_reverts_and_cannot_be_read_keeps_its_record() public {
        a.setTruth(false);
        a.setMode(Target.Mode.ReadReverts);
        skip(MIN);
        bytes memory reason = abi.encodeWithSelector(Target.ExpectedPause.selector);
        vm.expectRevert(abi.encodeWithSelector(Guardian.StillPaused.selector, address(a), reason));
        guardian.lapse(address(a));
    }
}

contract GuardianAdminTest is GuardianFixture {
    function test_the_admin_alone_resumes_early() public {
        pause(pauser, address(a), MAX);
        address[3] memory others = [pauser, person, stranger];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Guardian.NotAdmin.selector, others[i]));
            vm.prank(others[i]);
            guardian.resume(address(a));
        }
        vm.expectEmit();
        emit Guardian.TargetResumed(address(a));
        vm.prank(admin);
        guardian.resume(address(a));
        assertFalse(a.paused(), "unpaused");
        assertEq(guardian.pausedUntil(address(a)), 0, "no record");
    }

    function test_the_admin_resumes_what_another_paused() public {
        a.setTruth(true);
        vm.prank(admin);
        guardian.resume(address(a));
        assertFalse(a.paused(), "unpaused");
    }

    function test_resuming_knows_its_targets() public {
        Target d = new Target();
        vm.expectRevert(abi.encodeWithSelector(Guardian.UnknownTarget.selector, address(d)));
        vm.prank(admin);
        guardian.resume(address(d));
    }

    function test_one_taken_out_while_paused_can_be_resumed() public {
        pause(pauser, address(a), MAX);
        vm.startPrank(admin);
        guardian.unregister(address(a));
        guardian.resume(address(a));
        vm.stopPrank();
        assertFalse(a.paused(), "unpaused");
    }

    function test_resuming_one_that_stays_paused_reverts() public {
        pause(pauser, address(a), MAX);
        a.setMode(Target.Mode.SaysPaused);
        vm.expectPartialRevert(Guardian.StillPaused.selector);
        vm.prank(admin);
        guardian.resume(address(a));
    }

    function test_a_kept_pause_no_longer_lapses() public {
        pause(pauser, address(a), MIN);
        vm.expectEmit();
        emit Guardian.TargetKept(address(a));
        vm.prank(admin);
        guardian.keep(address(a));
        skip(TOTAL);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NothingToLapse.selector, address(a)));
        guardian.lapse(address(a));
        assertTrue(a.paused(), "paused");
        vm.prank(admin);
        guardian.resume(address(a));
        assertFalse(a.paused(), "until the admin resumes it");
    }

    function test_only_a_pause_of_ours_is_kept_and_only_by_the_admin() public {
        vm.expectRevert(abi.encodeWithSelector(Guardian.NothingToLapse.selector, address(a)));
        vm.prank(admin);
        guardian.keep(address(a));
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotAdmin.selector, stranger));
        vm.prank(stranger);
        guardian.keep(address(a));
    }

    function test_targets_are_registered_once_and_taken_out_once() public {
        Target d = new Target();
        vm.startPrank(admin);
        vm.expectEmit();
        emit Guardian.Registered(address(d));
        guardian.register(address(d));
        assertTrue(guardian.status(address(d)).registered, "in");
        vm.expectRevert(abi.encodeWithSelector(Guardian.AlreadyRegistered.selector, address(d)));
        guardian.register(address(d));
        vm.expectEmit();
        emit Guardian.Unregistered(address(d));
        guardian.unregister(address(d));
        assertFalse(guardian.status(address(d)).registered, "out");
        vm.expectRevert(abi.encodeWithSelector(Guardian.UnknownTarget.selector, address(d)));
        guardian.unregister(address(d));
        vm.stopPrank();
    }

    function test_what_cannot_be_read_is_not_registered() public {
        Target d = new Target();
        d.setMode(Target.Mode.ReadReverts);
        vm.startPrank(admin);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotPausable.selector, address(d)));
        guardian.register(address(d));
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotPausable.selector, stranger));
        guardian.register(stranger);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotPausable.selector, address(guardian)));
        guardian.register(address(guardian));
        vm.stopPrank();
    }

    function test_only_the_admin_sets_roles_and_targets() public {
        bytes memory refusal = abi.encodeWithSelector(Guardian.NotAdmin.selector, pauser);
        vm.startPrank(pauser);
        vm.expectRevert(refusal);
        guardian.setPauser(stranger);
        vm.expectRevert(refusal);
        guardian.setPerson(stranger, true);
        vm.expectRevert(refusal);
        guardian.register(stranger);
        vm.expectRevert(refusal);
        guardian.unregister(address(a));
        vm.stopPrank();
    }

    function test_a_pauser_is_not_also_a_person_or_the_admin() public {
        vm.startPrank(admin);
        vm.expectRevert(abi.encodeWithSelector(Guardian.RoleConflict.selector, person));
        guardian.setPauser(person);
        vm.expectRevert(abi.encodeWithSelector(Guardian.RoleConflict.selector, admin));
        guardian.setPauser(admin);
        vm.expectRevert(abi.encodeWithSelector(Guardian.RoleConflict.selector, pauser));
        guardian.setPerson(pauser, true);
        vm.expectRevert(abi.encodeWithSelector(Guardian.RoleConflict.selector, admin));
        guardian.setPerson(admin, true);
        vm.expectRevert(Guardian.ZeroAddress.selector);
        guardian.setPerson(address(0), true);
        vm.stopPrank();
    }

    function test_a_replaced_pauser_and_a_removed_person_have_no_power() public {
        vm.startPrank(admin);
        vm.expectEmit();
        emit Guardian.PauserSet(pauser, stranger);
        guardian.setPauser(stranger);
        vm.expectEmit();
        emit Guardian.PersonSet(person, false);
        guardian.setPerson(person, false);
        vm.stopPrank();
        assertTrue(guardian.armed(stranger) && !guardian.armed(pauser) && !guardian.armed(person), "armed");
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotArmed.selector, pauser));
        pause(pauser, address(a), MIN);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotArmed.selector, person));
        pause(person, address(a), MIN);
        assertOutcome(pause(stranger, address(a), MIN), Guardian.Outcome.Paused);
    }

    function test_a_new_pauser_inherits_the_uses_left() public {
        pause(pauser, address(a), MIN);
        vm.prank(admin);
        guardian.setPauser(stranger);
        assertEq(guardian.usesLeft(), USES - 1, "not rearmed");
    }
}

contract GuardianHeartbeatTest is GuardianFixture {
    function test_it_lasts_exactly_its_interval() public {
        skip(BEAT);
        assertTrue(guardian.armed(pauser), "at the interval");
        skip(1);
        assertFalse(guardian.armed(pauser), "one second on");
        vm.expectRevert(
            abi.encodeWithSelector(Guardian.HeartbeatLapsed.selector, uint64(block.timestamp) - BEAT - 1, BEAT)
        );
        pause(pauser, address(a), MIN);
    }

    function test_the_pauser_renews_it_while_it_lives() public {
        skip(BEAT);
        vm.expectEmit();
        emit Guardian.HeartbeatSeen(pauser);
        vm.prank(pauser);
        guardian.heartbeat();
        skip(BEAT);
        assertTrue(guardian.armed(pauser), "alive");
    }

    function test_pausing_and_extending_renew_it_too() public {
        skip(BEAT - 1);
        pause(pauser, address(a), MIN);
        assertEq(guardian.lastHeartbeat(), block.timestamp, "by pausing");
        skip(BEAT - 1);
        extend(pauser, address(a), MIN);
        assertEq(guardian.lastHeartbeat(), block.timestamp, "by extending");
    }

    function test_lapsed_it_is_not_renewed_by_the_key_itself() public {
        skip(BEAT + 1);
        vm.startPrank(pauser);
        vm.expectPartialRevert(Guardian.HeartbeatLapsed.selector);
        guardian.heartbeat();
        vm.expectPartialRevert(Guardian.HeartbeatLapsed.selector);
        guardian.extend(one(address(a)), MIN);
        vm.stopPrank();
    }

    function test_lapsed_it_leaves_people_and_the_admin_armed() public {
        skip(365 days);
        assertTrue(guardian.armed(person) && guardian.armed(admin), "armed");
        assertOutcome(pause(person, address(a), MIN), Guardian.Outcome.Paused);
        assertOutcome(pause(admin, address(b), MIN), Guardian.Outcome.Paused);
    }

    function test_the_admin_restores_it() public {
        skip(BEAT + 1);
        vm.prank(admin);
        guardian.rearm(1);
        assertTrue(guardian.armed(pauser), "rearmed");
        skip(BEAT + 1);
        vm.prank(admin);
        guardian.setPauser(stranger);
        assertTrue(guardian.armed(stranger), "a new one starts alive");
    }

    function test_only_the_pauser_has_one() public {
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotPauser.selector, person));
        vm.prank(person);
        guardian.heartbeat();
    }
}

contract GuardianReentrancyTest is GuardianFixture {
    /// @dev a calls back while it is paused; nothing of it may have had an effect.
    function reenter(bytes memory data) private {
        a.setCall(address(guardian), data);
        assertOutcome(pause(pauser, address(a), MIN), Guardian.Outcome.Paused);
        (bool ok, bytes memory reason) = abi.decode(a.answer(), (bool, bytes));
        assertFalse(ok, "refused");
        assertEq(reason, abi.encodeWithSignature("ReentrancyGuardReentrantCall()"), "by the guard");
    }

    function test_a_target_cannot_lapse_from_inside() public {
        pause(pauser, address(b), MIN);
        skip(MIN);
        reenter(abi.encodeCall(guardian.lapse, (address(b))));
        assertTrue(b.paused(), "not lapsed");
    }

    function test_a_target_that_is_a_person_cannot_pause_from_inside() public {
        vm.prank(admin);
        guardian.setPerson(address(a), true);
        reenter(abi.encodeCall(guardian.pause, (one(address(b)), MIN)));
        assertFalse(b.paused(), "not paused");
    }

    function test_a_target_that_is_a_person_cannot_extend_from_inside() public {
        vm.prank(admin);
        guardian.setPerson(address(a), true);
        reenter(abi.encodeCall(guardian.extend, (one(address(a)), MAX)));
    }

    function test_an_admin_among_the_targets_cannot_act_from_inside() public {
        // The same guard on every function of the admin.
        bytes[6] memory calls = [
            abi.encodeCall(guardian.resume, (address(b))),
            abi.encodeCall(guardian.keep, (address(b))),
            abi.encodeCall(guardian.rearm, (1)),
            abi.encodeCall(guardian.setPauser, (stranger)),
            abi.encodeCall(guardian.setPerson, (stranger, true)),
            abi.encodeCall(guardian.unregister, (address(b)))
        ];
        Target boss = new Target();
        Guardian other = new Guardian(address(boss), MIN, MAX, TOTAL, BEAT, USES);
        vm.startPrank(address(boss));
        other.setPauser(pauser);
        other.register(address(boss));
        other.register(address(b));
        vm.stopPrank();
        for (uint256 i = 0; i < calls.length; ++i) {
            boss.setTruth(false);
            boss.setCall(address(other), calls[i]);
            // As the admin it is never counted, so that the uses do not run out.
            vm.prank(address(boss));
            other.pause(one(address(boss)), MIN);
            (bool ok,) = abi.decode(boss.answer(), (bool, bytes));
            assertFalse(ok, "refused");
        }
        assertEq(other.usesLeft(), USES, "uses");
    }
}

contract GuardianFuzzTest is GuardianFixture {
    function testFuzz_a_stranger_changes_nothing(address who, uint8 which, address target, uint64 number) public {
        vm.assume(who != admin && who != pauser && who != person && who != address(0));
        pause(pauser, address(a), MAX);
        bytes[11] memory calls = [
            abi.encodeCall(guardian.pause, (one(target), number)),
            abi.encodeCall(guardian.extend, (one(target), number)),
            abi.encodeCall(guardian.lapse, (target)),
            abi.encodeCall(guardian.heartbeat, ()),
            abi.encodeCall(guardian.resume, (target)),
            abi.encodeCall(guardian.keep, (target)),
            abi.encodeCall(guardian.rearm, (uint32(number))),
            abi.encodeCall(guardian.setPauser, (target)),
            abi.encodeCall(guardian.setPerson, (target, true)),
            abi.encodeCall(guardian.register, (target)),
            abi.encodeCall(guardian.unregister, (target))
        ];
        bytes memory before = state();
        vm.prank(who);
        (bool ok,) = address(guardian).call(calls[which % calls.length]);
        assertFalse(ok, "refused");
        assertEq(state(), before, "state");
    }

    function testFuzz_after_a_pause_the_target_is_paused_or_the_result_says_why(uint8[3] memory modes, uint64 time)
        public
    {
        address[] memory list = all();
        for (uint256 i = 0; i < 3; ++i) {
            Target(list[i]).setMode(Target.Mode(modes[i] % 14)); // all but Reenters
        }
        vm.prank(pauser);
        Guardian.Result[] memory results = guardian.pause(list, uint64(bound(time, MIN, MAX)));
        for (uint256 i = 0; i < 3; ++i) {
            Guardian.Outcome outcome = results[i].outcome;
            bool recorded = guardian.pausedUntil(list[i]) != 0;
            bool paid = outcome == Guardian.Outcome.Paused || outcome == Guardian.Outcome.Unverified;
            assertTrue(recorded == paid, "a record if it may be paused by us");
            if (outcome == Guardian.Outcome.Paused) assertTrue(Target(list[i]).paused(), "it says so itself");
            if (Target(list[i]).truth()) assertTrue(recorded, "none is paused without a record");
        }
    }

    function testFuzz_an_end_is_never_later_than_the_total(uint64[8] memory waits, uint64[8] memory durations) public {
        uint256 began = block.timestamp;
        pause(pauser, address(a), MAX);
        for (uint256 i = 0; i < 8; ++i) {
            uint64 before = guardian.pausedUntil(address(a));
            skip(bound(waits[i], 0, MAX));
            extend(pauser, address(a), uint64(bound(durations[i], MIN, MAX)));
            assertGe(guardian.pausedUntil(address(a)), before, "never earlier");
            assertLe(guardian.pausedUntil(address(a)), began + TOTAL, "never later");
        }
    }
}

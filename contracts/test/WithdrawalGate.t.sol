// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Guardian} from "../src/Guardian.sol";
import {WithdrawalGate} from "../src/WithdrawalGate.sol";
import {FeeToken, IdleToken, ReenteringReceiver, RefusingReceiver, ReturningReceiver} from "./BadReceivers.sol";
import {GateFixture} from "./GateFixture.sol";

contract GateSettingsTest is GateFixture {
    function test_it_keeps_what_it_was_made_with() public view {
        assertEq(gate.admin(), admin, "admin");
        assertEq(gate.signer(), signer, "signer");
        assertEq(gate.guardian(), guardian, "guardian");
        assertEq(gate.tightener(), tightener, "tightener");
        assertEq(gate.window(), WINDOW, "window");
        assertEq(gate.slotLength(), SLOT, "slot");
        assertEq(gate.delay(), DELAY, "delay");
    }

    function test_it_needs_an_admin_a_signer_and_a_guardian() public {
        for (uint256 i = 0; i < 3; ++i) {
            address[3] memory who = [admin, signer, guardian];
            who[i] = address(0);
            vm.expectRevert(WithdrawalGate.ZeroAddress.selector);
            new WithdrawalGate(who[0], who[1], who[2], tightener, WINDOW, DELAY);
        }
        new WithdrawalGate(admin, signer, guardian, address(0), WINDOW, DELAY);
    }

    function test_window_and_delay_are_bounded() public {
        refused(0, DELAY);
        refused(13, DELAY);
        refused(365 days + 12, DELAY);
        refused(WINDOW, 0);
        refused(WINDOW, 30 days + 1);
        new WithdrawalGate(admin, signer, guardian, tightener, 12, 1);
        new WithdrawalGate(admin, signer, guardian, tightener, 365 days, 30 days);
    }

    function refused(uint64 window, uint64 delay) private {
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.BadWindow.selector, window, delay));
        new WithdrawalGate(admin, signer, guardian, tightener, window, delay);
    }

    function test_the_admin_alone_sets_roles_and_limits() public {
        bytes[8] memory calls = [
            abi.encodeCall(gate.setSigner, (user)),
            abi.encodeCall(gate.setGuardian, (user)),
            abi.encodeCall(gate.setTightener, (user)),
            abi.encodeCall(gate.setLimit, (ETHER, 1)),
            abi.encodeCall(gate.setAllowed, (user, true)),
            abi.encodeCall(gate.lift, (ETHER)),
            abi.encodeCall(gate.liftAllowlist, ()),
            abi.encodeCall(gate.cancel, (bytes32(0)))
        ];
        address[4] memory others = [signer, guardian, tightener, user];
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 j = 0; j < others.length; ++j) {
                vm.prank(others[j]);
                (bool ok, bytes memory reason) = address(gate).call(calls[i]);
                assertFalse(ok, "refused");
                assertEq(reason, abi.encodeWithSelector(WithdrawalGate.NotAdmin.selector, others[j]), "reason");
            }
        }
    }

    function test_roles_can_be_replaced_but_not_left_empty() public {
        vm.startPrank(admin);
        vm.expectEmit();
        emit WithdrawalGate.GuardianSet(guardian, user);
        gate.setGuardian(user);
        vm.expectEmit();
        emit WithdrawalGate.TightenerSet(tightener, address(0));
        gate.setTightener(address(0));
        vm.expectRevert(WithdrawalGate.ZeroAddress.selector);
        gate.setGuardian(address(0));
        vm.expectRevert(WithdrawalGate.ZeroAddress.selector);
        gate.setSigner(address(0));
        vm.stopPrank();
        vm.prank(user);
        gate.pause();
    }

    function test_ether_is_received_from_anybody() public {
        vm.deal(user, 1 ether);
        vm.expectEmit();
        emit WithdrawalGate.Received(user, 1 ether);
        vm.prank(user);
        (bool ok,) = address(gate).call{value: 1 ether}("");
        assertTrue(ok, "received");
    }
}

contract GateWithdrawTest is GateFixture {
    function test_anybody_submits_a_signed_withdrawal_of_ether() public {
        WithdrawalGate.Withdrawal memory w = etherOf(3 ether);
        bytes memory signature = sign(w);
        vm.expectEmit();
        emit WithdrawalGate.Withdrawn(ETHER, user, 3 ether, w.nonce);
        vm.prank(named("anybody"));
        assertTrue(gate.withdraw(w, signature), "paid");
        assertEq(user.balance, 3 ether, "ether");
        assertEq(gate.outflow(ETHER), 3 ether, "counted");
        assertTrue(gate.nonceUsed(w.nonce), "nonce");
    }

    function test_and_of_tokens() public {
        withdraw(tokensOf(TOKEN_LIMIT));
        assertEq(token.balanceOf(user), TOKEN_LIMIT, "tokens");
        assertEq(gate.available(address(token)), 0, "limit");
        assertEq(gate.available(ETHER), LIMIT, "each asset has its own");
    }

    function test_a_nonce_is_used_once() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        withdraw(w);
        refuse(w, abi.encodeWithSelector(WithdrawalGate.NonceUsed.selector, w.nonce));
        w.amount = 2;
        refuse(w, abi.encodeWithSelector(WithdrawalGate.NonceUsed.selector, w.nonce));
    }

    function test_nonces_are_used_in_any_order() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        w.nonce = type(uint256).max;
        withdraw(w);
        withdraw(etherOf(1));
    }

    function test_a_refused_withdrawal_keeps_its_nonce() public {
        WithdrawalGate.Withdrawal memory w = etherOf(LIMIT + 1);
        refuse(w, overLimit(w, LIMIT));
        assertFalse(gate.nonceUsed(w.nonce), "nonce");
    }

    function test_the_deadline_is_the_last_second() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        w.deadline = block.timestamp - 1;
        refuse(w, abi.encodeWithSelector(WithdrawalGate.DeadlinePassed.selector, w.deadline, block.timestamp));
        w.deadline = block.timestamp;
        withdraw(w);
        w = etherOf(1);
        w.deadline = block.timestamp + 1;
        withdraw(w);
    }

    function test_every_field_is_signed() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1 ether);
        w.deadline += 10;
        bytes memory signature = sign(w);
        for (uint256 i = 0; i < 5; ++i) {
            WithdrawalGate.Withdrawal memory other =
                WithdrawalGate.Withdrawal(w.asset, w.to, w.amount, w.nonce, w.deadline);
            if (i == 0) other.asset = address(token);
            if (i == 1) other.to = named("thief");
            if (i == 2) other.amount += 1;
            if (i == 3) other.nonce += 1;
            if (i == 4) other.deadline += 1;
            vm.expectPartialRevert(WithdrawalGate.WrongSigner.selector);
            gate.withdraw(other, signature);
        }
        gate.withdraw(w, signature);
    }

    function test_only_the_signer_s_signature_counts() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        bytes memory signature = signAs("thief", w);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.WrongSigner.selector, named("thief"), signer));
        gate.withdraw(w, signature);
    }

    function test_what_is_no_signature_recovers_to_nobody() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        bytes memory refusal = abi.encodeWithSelector(WithdrawalGate.WrongSigner.selector, address(0), signer);
        vm.expectRevert(refusal);
        gate.withdraw(w, "");
        vm.expectRevert(refusal);
        gate.withdraw(w, new bytes(65));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf("signer"), gate.digestOf(w));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        vm.expectRevert(refusal);
        gate.withdraw(w, abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27)));
    }

    function test_a_signature_is_for_one_gate_on_one_chain() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        bytes memory signature = sign(w);
        WithdrawalGate other = new WithdrawalGate(admin, signer, guardian, tightener, WINDOW, DELAY);
        vm.expectPartialRevert(WithdrawalGate.WrongSigner.selector);
        other.withdraw(w, signature);
    }

    function test_the_digest_is_plain_eip_712() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("WithdrawalGate"),
                keccak256("1"),
                block.chainid,
                address(gate)
            )
        );
        bytes32 body = keccak256(abi.encode(gate.WITHDRAWAL_TYPEHASH(), w.asset, w.to, w.amount, w.nonce, w.deadline));
        assertEq(gate.digestOf(w), keccak256(abi.encodePacked(hex"1901", domain, body)), "digest");
    }

    function test_a_replaced_signer_signs_nothing_more() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        vm.expectEmit();
        emit WithdrawalGate.SignerSet(signer, user);
        vm.prank(admin);
        gate.setSigner(user);
        refuse(w, abi.encodeWithSelector(WithdrawalGate.WrongSigner.selector, signer, user));
        assertTrue(gate.withdraw(w, signAs("user", w)), "the new one does");
    }
}

contract GateBadCounterpartsTest is GateFixture {
    function test_a_receiver_cannot_withdraw_from_inside() public {
        ReenteringReceiver receiver = new ReenteringReceiver();
        WithdrawalGate.Withdrawal memory inner = etherOf(1);
        receiver.setCall(abi.encodeCall(gate.withdraw, (inner, sign(inner))));
        WithdrawalGate.Withdrawal memory outer = etherOf(1);
        outer.to = address(receiver);
        withdraw(outer);
        assertFalse(receiver.ok(), "refused");
        assertEq(receiver.answer(), abi.encodeWithSignature("ReentrancyGuardReentrantCall()"), "by the guard");
        receiver.setCall(abi.encodeCall(gate.execute, (inner)));
        outer = etherOf(1);
        outer.to = address(receiver);
        withdraw(outer);
        assertFalse(receiver.ok(), "nor execute");
    }

    function test_a_receiver_that_refuses_blocks_only_its_own() public {
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        w.to = address(new RefusingReceiver());
        refuse(w, abi.encodeWithSelector(RefusingReceiver.NoThanks.selector));
        withdraw(etherOf(1));
    }

    function test_ether_that_comes_straight_back_is_no_withdrawal() public {
        ReturningReceiver receiver = new ReturningReceiver();
        WithdrawalGate.Withdrawal memory w = etherOf(5);
        w.to = address(receiver);
        uint256 balance = address(gate).balance;
        refuse(w, abi.encodeWithSelector(WithdrawalGate.WrongOutflow.selector, ETHER, 5, balance, balance));
        vm.deal(address(receiver), 9);
        receiver.setExtra(2);
        refuse(w, abi.encodeWithSelector(WithdrawalGate.WrongOutflow.selector, ETHER, 5, balance, balance + 2));
    }

    function test_a_token_that_takes_more_than_asked_is_refused() public {
        FeeToken fee = new FeeToken();
        fee.mint(address(gate), 100);
        vm.prank(admin);
        gate.setLimit(address(fee), 50);
        WithdrawalGate.Withdrawal memory w = etherOf(5);
        w.asset = address(fee);
        refuse(w, abi.encodeWithSelector(WithdrawalGate.WrongOutflow.selector, address(fee), 5, 100, 94));
    }

    function test_a_token_that_moves_nothing_is_refused() public {
        IdleToken idle = new IdleToken();
        idle.mint(address(gate), 100);
        vm.prank(admin);
        gate.setLimit(address(idle), 50);
        WithdrawalGate.Withdrawal memory w = etherOf(5);
        w.asset = address(idle);
        refuse(w, abi.encodeWithSelector(WithdrawalGate.WrongOutflow.selector, address(idle), 5, 100, 100));
    }

    function test_more_than_there_is_reverts() public {
        vm.deal(address(gate), 1);
        refuse(etherOf(2), abi.encodeWithSignature("InsufficientBalance(uint256,uint256)", 1, 2));
    }
}

contract GateLimitTest is GateFixture {
    function test_the_limit_itself_may_leave_and_no_more() public {
        withdraw(etherOf(LIMIT - 1));
        withdraw(etherOf(1));
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        refuse(w, overLimit(w, 0));
        w = tokensOf(TOKEN_LIMIT + 1);
        refuse(w, overLimit(w, TOKEN_LIMIT));
    }

    function test_no_amount_wraps_around() public {
        withdraw(etherOf(1));
        WithdrawalGate.Withdrawal memory w = etherOf(type(uint256).max);
        refuse(w, overLimit(w, LIMIT - 1));
        w = etherOf(uint256(type(uint192).max) + 2);
        refuse(w, overLimit(w, LIMIT - 1));
    }

    function test_an_asset_without_a_limit_pays_nothing() public {
        vm.prank(admin);
        gate.setLimit(ETHER, 0);
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        refuse(w, overLimit(w, 0));
    }

    function test_what_left_still_counts_a_whole_window_later() public {
        withdraw(etherOf(LIMIT)); // in the middle of a slot
        skip(WINDOW);
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        refuse(w, overLimit(w, 0));
        skip(SLOT / 2 - 1); // the last second of that slot, one window on
        w = etherOf(1);
        refuse(w, overLimit(w, 0));
        skip(1);
        withdraw(etherOf(LIMIT));
    }

    function test_a_boundary_does_not_double_the_limit() public {
        vm.warp(block.timestamp / WINDOW * WINDOW + 2 * WINDOW - 1);
        withdraw(etherOf(LIMIT));
        skip(1);
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        refuse(w, overLimit(w, 0));
    }

    function test_a_steady_flow_gets_twelve_thirteenths_of_the_limit_and_never_blocks() public {
        // The price of counting conservatively.
        for (uint256 i = 0; i < 60; ++i) {
            withdraw(etherOf(LIMIT / 13));
            vm.deal(address(gate), LIMIT);
            skip(SLOT);
        }
    }

    function test_a_raised_limit_counts_what_left_already() public {
        withdraw(etherOf(LIMIT));
        vm.expectEmit();
        emit WithdrawalGate.LimitSet(ETHER, LIMIT, LIMIT + 5);
        vm.prank(admin);
        gate.setLimit(ETHER, LIMIT + 5);
        assertEq(gate.available(ETHER), 5, "the difference");
    }

    function test_a_lowered_limit_below_what_left_allows_nothing() public {
        withdraw(etherOf(LIMIT));
        vm.prank(admin);
        gate.setLimit(ETHER, 1);
        assertEq(gate.available(ETHER), 0, "and does not underflow");
    }

    function testFuzz_in_any_window_at_most_the_limit_leaves(uint32[24] memory waits, uint96[24] memory amounts)
        public
    {
        uint256[24] memory times;
        uint256[24] memory paid;
        for (uint256 i = 0; i < 24; ++i) {
            skip(bound(waits[i], 0, 3 hours));
            times[i] = block.timestamp;
            WithdrawalGate.Withdrawal memory w = etherOf(bound(amounts[i], 0, LIMIT / 2));
            try gate.withdraw(w, sign(w)) {
                paid[i] = w.amount;
            } catch {}
            uint256 sum;
            for (uint256 j = 0; j <= i; ++j) {
                if (times[i] - times[j] <= WINDOW) sum += paid[j]; // closed: both ends of the window belong to it
            }
            assertLe(sum, LIMIT, "outflow of a window");
            assertLe(sum, gate.outflow(ETHER), "never counted too little");
        }
    }

    function testFuzz_what_is_older_than_a_window_and_a_slot_is_forgotten(uint32 wait, uint96 amount) public {
        amount = uint96(bound(amount, 1, LIMIT));
        withdraw(etherOf(amount));
        skip(bound(wait, WINDOW + SLOT, 300 days));
        assertEq(gate.outflow(ETHER), 0, "forgotten");
    }
}

contract GatePauseTest is GateFixture {
    function test_the_guardian_alone_pauses_and_resumes() public {
        address[4] memory others = [admin, signer, tightener, user];
        for (uint256 i = 0; i < 4; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.NotGuardian.selector, others[i]));
            gate.pause();
            vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.NotGuardian.selector, others[i]));
            gate.unpause();
            vm.stopPrank();
        }
        vm.startPrank(guardian);
        gate.pause();
        assertTrue(gate.paused(), "paused");
        vm.expectRevert(Pausable.EnforcedPause.selector);
        gate.pause();
        gate.unpause();
        assertFalse(gate.paused(), "resumed");
        vm.expectRevert(Pausable.ExpectedPause.selector);
        gate.unpause();
        vm.stopPrank();
    }

    function test_paused_means_no_outflow() public {
        WithdrawalGate.Withdrawal memory large = etherOf(50 ether);
        vm.prank(tightener);
        gate.delayAbove(ETHER, 10 ether, soon(1 hours));
        withdraw(large);
        skip(DELAY);
        vm.prank(guardian);
        gate.pause();
        refuse(etherOf(1), abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        refuse(tokensOf(1), abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        vm.expectRevert(Pausable.EnforcedPause.selector);
        gate.execute(large);
    }

    function test_paused_it_still_receives() public {
        vm.prank(guardian);
        gate.pause();
        vm.deal(user, 1);
        vm.prank(user);
        (bool ok,) = address(gate).call{value: 1}("");
        assertTrue(ok, "golden: a deposit");
    }

    function test_a_resume_restores_exactly_the_state() public {
        withdraw(etherOf(7 ether));
        withdraw(tokensOf(5e6));
        vm.startPrank(tightener);
        gate.tighten(ETHER, 50 ether, soon(1 hours));
        gate.delayAbove(ETHER, 20 ether, soon(2 hours));
        vm.stopPrank();
        WithdrawalGate.Withdrawal memory large = etherOf(30 ether);
        withdraw(large);
        bytes memory before = state();
        (uint64 readyAt,) = gate.queued(gate.digestOf(large));
        vm.startPrank(guardian);
        gate.pause();
        gate.unpause();
        vm.stopPrank();
        assertEq(state(), before, "state");
        (uint64 readyAfter,) = gate.queued(gate.digestOf(large));
        assertEq(readyAfter, readyAt, "queue");
        withdraw(etherOf(20 ether));
    }

    function test_a_guardian_contract_pauses_it_and_lets_it_lapse() public {
        Guardian contractGuardian = new Guardian(admin, 1 hours, 6 hours, 7 days, 7 days, 3);
        vm.startPrank(admin);
        gate.setGuardian(address(contractGuardian));
        contractGuardian.setPauser(user);
        contractGuardian.register(address(gate));
        vm.stopPrank();
        vm.prank(user);
        Guardian.Result[] memory results = contractGuardian.pause(one(address(gate)), 1 hours);
        assertTrue(results[0].outcome == Guardian.Outcome.Paused && gate.paused(), "paused");
        skip(1 hours);
        contractGuardian.lapse(address(gate));
        withdraw(etherOf(1));
    }
}

contract GateTightenTest is GateFixture {
    function tighten(uint192 limit, uint64 until) internal {
        vm.prank(tightener);
        gate.tighten(ETHER, limit, until);
    }

    function test_a_lower_limit_holds_until_its_time() public {
        vm.expectEmit();
        emit WithdrawalGate.Tightened(ETHER, 10 ether, soon(2 hours));
        tighten(10 ether, soon(2 hours));
        WithdrawalGate.Withdrawal memory w = etherOf(10 ether + 1);
        refuse(w, overLimit(w, 10 ether));
        withdraw(etherOf(10 ether));
        skip(2 hours - 1);
        assertEq(gate.effectiveLimit(ETHER), 10 ether, "the last second");
        skip(1);
        assertEq(gate.effectiveLimit(ETHER), LIMIT, "lapsed by itself");
        withdraw(etherOf(LIMIT - 10 ether));
    }

    function test_it_can_only_lower() public {
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.WouldLoosen.selector, LIMIT + 1, LIMIT));
        tighten(LIMIT + 1, soon(1 hours));
        tighten(LIMIT, soon(1 hours));
        tighten(LIMIT - 1, soon(1 hours));
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.WouldLoosen.selector, LIMIT, LIMIT - 1));
        tighten(LIMIT, soon(1 hours));
    }

    function test_a_lower_limit_for_a_second_does_not_end_a_longer_one() public {
        uint64 until = soon(2 hours);
        tighten(10 ether, until);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.WouldLoosen.selector, until - 1, until));
        tighten(9 ether, until - 1);
        tighten(9 ether, until);
        skip(1);
        tighten(9 ether, until + 1);
    }

    function test_it_lasts_at_most_two_hours() public {
        uint256 latest = block.timestamp + 2 hours;
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.BadUntil.selector, latest + 1, latest));
        tighten(1, soon(2 hours + 1));
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.BadUntil.selector, block.timestamp, latest));
        tighten(1, soon(0));
        tighten(1, soon(1));
        tighten(1, soon(2 hours - 1));
        tighten(1, soon(2 hours));
    }

    function test_zero_stops_one_asset_only() public {
        tighten(0, soon(1 hours));
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        refuse(w, overLimit(w, 0));
        withdraw(tokensOf(1));
    }

    function test_a_limit_that_the_admin_sets_lower_holds() public {
        tighten(10 ether, soon(1 hours));
        vm.prank(admin);
        gate.setLimit(ETHER, 5 ether);
        assertEq(gate.effectiveLimit(ETHER), 5 ether, "the lower of both");
    }

    function test_the_admin_alone_lifts_it() public {
        tighten(0, soon(1 hours));
        vm.prank(tightener);
        gate.delayAbove(ETHER, 0, soon(1 hours));
        vm.expectEmit();
        emit WithdrawalGate.Lifted(ETHER);
        vm.prank(admin);
        gate.lift(ETHER);
        assertEq(gate.effectiveLimit(ETHER), LIMIT, "limit");
        assertEq(gate.delayThreshold(ETHER), type(uint256).max, "delay");
    }

    function test_the_tightener_alone_tightens() public {
        address[4] memory others = [admin, signer, guardian, user];
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory refusal = abi.encodeWithSelector(WithdrawalGate.NotTightener.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(refusal);
            gate.tighten(ETHER, 1, soon(1));
            vm.expectRevert(refusal);
            gate.delayAbove(ETHER, 1, soon(1));
            vm.expectRevert(refusal);
            gate.allowlistOnly(soon(1));
            vm.stopPrank();
        }
    }

    function testFuzz_nothing_that_the_tightener_does_loosens(uint64[6] memory amounts, uint16[6] memory times) public {
        for (uint256 i = 0; i < 6; ++i) {
            uint256 limit = gate.effectiveLimit(ETHER);
            uint256 threshold = gate.delayThreshold(ETHER);
            (, uint64 limitUntil) = gate.tightened(ETHER);
            (, uint64 delayUntil) = gate.delayed(ETHER);
            uint64 listUntil = gate.allowlistUntil();
            vm.startPrank(tightener);
            try gate.tighten(ETHER, amounts[i], soon(times[i])) {} catch {}
            try gate.delayAbove(ETHER, amounts[i], soon(times[i])) {} catch {}
            try gate.allowlistOnly(soon(times[i])) {} catch {}
            vm.stopPrank();
            assertLe(gate.effectiveLimit(ETHER), limit, "limit");
            assertLe(gate.delayThreshold(ETHER), threshold, "threshold");
            (, uint64 until) = gate.tightened(ETHER);
            assertTrue(until >= limitUntil && until <= block.timestamp + 2 hours, "time of the limit");
            (, until) = gate.delayed(ETHER);
            assertTrue(until >= delayUntil && until <= block.timestamp + 2 hours, "time of the delay");
            assertTrue(gate.allowlistUntil() >= listUntil, "time of the allow-list");
            skip(1);
        }
        skip(2 hours);
        assertEq(gate.effectiveLimit(ETHER), LIMIT, "all of it lapses");
        assertEq(gate.delayThreshold(ETHER), type(uint256).max, "all of it lapses");
        withdraw(etherOf(LIMIT));
    }
}

contract GateAllowlistTest is GateFixture {
    function test_only_allowed_destinations_are_paid_until_its_time() public {
        address cold = named("cold");
        vm.expectEmit();
        emit WithdrawalGate.AllowedSet(cold, true);
        vm.prank(admin);
        gate.setAllowed(cold, true);
        vm.expectEmit();
        emit WithdrawalGate.AllowlistOnly(soon(1 hours));
        vm.prank(tightener);
        gate.allowlistOnly(soon(1 hours));
        uint64 until = soon(1 hours);
        refuse(etherOf(1), abi.encodeWithSelector(WithdrawalGate.DestinationNotAllowed.selector, user, until));
        WithdrawalGate.Withdrawal memory w = etherOf(1);
        w.to = cold;
        withdraw(w);
        skip(1 hours - 1);
        refuse(etherOf(1), abi.encodeWithSelector(WithdrawalGate.DestinationNotAllowed.selector, user, until));
        skip(1);
        withdraw(etherOf(1));
    }

    function test_it_cannot_be_shortened_but_by_the_admin() public {
        vm.startPrank(tightener);
        gate.allowlistOnly(soon(1 hours));
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.WouldLoosen.selector, soon(1 hours) - 1, soon(1 hours)));
        gate.allowlistOnly(soon(1 hours) - 1);
        vm.stopPrank();
        vm.expectEmit();
        emit WithdrawalGate.AllowlistLifted();
        vm.prank(admin);
        gate.liftAllowlist();
        withdraw(etherOf(1));
    }
}

contract GateQueueTest is GateFixture {
    WithdrawalGate.Withdrawal internal large;
    bytes32 internal digest;

    function setUp() public override {
        super.setUp();
        vm.prank(tightener);
        gate.delayAbove(ETHER, 10 ether, soon(2 hours));
        large = etherOf(10 ether + 1);
        digest = gate.digestOf(large);
    }

    function queue() internal {
        assertFalse(withdraw(large), "not paid");
    }

    function test_small_ones_are_paid_at_once() public {
        assertTrue(withdraw(etherOf(10 ether - 1)), "below");
        assertTrue(withdraw(etherOf(10 ether)), "at");
        assertTrue(withdraw(tokensOf(TOKEN_LIMIT)), "another asset");
    }

    function test_a_large_one_waits_and_is_then_paid_by_anybody() public {
        bytes memory signature = sign(large);
        vm.expectEmit();
        emit WithdrawalGate.Queued(ETHER, user, large.amount, large.nonce, digest, soon(DELAY));
        assertFalse(gate.withdraw(large, signature), "queued");
        assertEq(user.balance, 0, "nothing yet");
        assertEq(gate.outflow(ETHER), 0, "nor counted");
        skip(DELAY - 1);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.NotReady.selector, digest, soon(1)));
        gate.execute(large);
        skip(1);
        gate.execute(large);
        assertEq(user.balance, large.amount, "paid");
        assertEq(gate.outflow(ETHER), large.amount, "counted");
    }

    function test_it_is_paid_once() public {
        queue();
        refuse(large, abi.encodeWithSelector(WithdrawalGate.NonceUsed.selector, large.nonce));
        skip(DELAY);
        gate.execute(large);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.NotQueued.selector, digest));
        gate.execute(large);
    }

    function test_what_was_never_queued_is_not_executed() public {
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.NotQueued.selector, digest));
        gate.execute(large);
        queue();
        large.to = named("thief");
        skip(DELAY);
        bytes32 other = gate.digestOf(large);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.NotQueued.selector, other));
        gate.execute(large);
    }

    function test_the_limit_of_that_moment_holds() public {
        queue();
        skip(DELAY);
        withdraw(etherOf(LIMIT - 10 ether));
        vm.expectRevert(overLimit(large, 10 ether));
        gate.execute(large);
        skip(WINDOW + SLOT);
        gate.execute(large);
    }

    function test_the_allow_list_of_that_moment_holds() public {
        queue();
        skip(DELAY);
        vm.prank(tightener);
        gate.allowlistOnly(soon(1 hours));
        vm.expectPartialRevert(WithdrawalGate.DestinationNotAllowed.selector);
        gate.execute(large);
    }

    function test_the_admin_cancels_it() public {
        queue();
        vm.expectEmit();
        emit WithdrawalGate.Cancelled(digest);
        vm.prank(admin);
        gate.cancel(digest);
        refuse(large, abi.encodeWithSelector(WithdrawalGate.NonceUsed.selector, large.nonce));
        skip(DELAY);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.NotQueued.selector, digest));
        gate.execute(large);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.NotQueued.selector, digest));
        vm.prank(admin);
        gate.cancel(digest);
    }

    function test_a_replaced_signer_voids_it() public {
        queue();
        vm.prank(admin);
        gate.setSigner(user);
        skip(DELAY);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.WrongSigner.selector, signer, user));
        gate.execute(large);
    }

    function test_the_threshold_can_only_be_lowered_and_lapses() public {
        vm.startPrank(tightener);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.WouldLoosen.selector, 10 ether + 1, 10 ether));
        gate.delayAbove(ETHER, 10 ether + 1, soon(2 hours));
        vm.expectRevert(abi.encodeWithSelector(WithdrawalGate.WouldLoosen.selector, soon(1), soon(2 hours)));
        gate.delayAbove(ETHER, 10 ether, soon(1));
        vm.expectEmit();
        emit WithdrawalGate.DelayedAbove(ETHER, 9 ether, soon(2 hours));
        gate.delayAbove(ETHER, 9 ether, soon(2 hours));
        vm.stopPrank();
        skip(2 hours);
        assertTrue(withdraw(etherOf(LIMIT)), "lapsed");
    }
}

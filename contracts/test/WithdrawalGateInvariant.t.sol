// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {WithdrawalGate} from "../src/WithdrawalGate.sol";
import {GateFixture} from "./GateFixture.sol";
import {Test} from "./Test.sol";

/// @notice A thief with the signer's key who withdraws whatever he can, while the tightener and the guardian do what they may. It
/// writes down, from balances, what really left and when.
contract GateHandler is Test {
    WithdrawalGate public immutable GATE;
    address private immutable ETHER;
    address private thief = named("thief");

    uint256[] private times;
    uint256[] private amounts;
    WithdrawalGate.Withdrawal[] private pending;
    uint256 private nonce;
    uint256 public total;
    uint256 public leftWhilePaused;
    uint256 public resumesThatChangedState;

    constructor(WithdrawalGate gate) {
        GATE = gate;
        ETHER = gate.ETHER();
    }

    modifier watched() {
        uint256 before = thief.balance;
        bool paused = GATE.paused();
        _;
        uint256 left = thief.balance - before;
        if (left == 0) return;
        times.push(block.timestamp);
        amounts.push(left);
        total += left;
        if (paused) leftWhilePaused += left;
    }

    function steal(uint96 amount) external watched {
        uint256 most = GATE.available(ETHER);
        WithdrawalGate.Withdrawal memory w =
            WithdrawalGate.Withdrawal(ETHER, thief, bound(amount, 0, most + most / 4 + 1), nonce++, block.timestamp);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf("signer"), GATE.digestOf(w));
        try GATE.withdraw(w, abi.encodePacked(r, s, v)) returns (bool paid) {
            if (!paid) pending.push(w);
        } catch {}
    }

    function take(uint256 which) external watched {
        if (pending.length == 0) return;
        try GATE.execute(pending[which % pending.length]) {} catch {}
    }

    function tighten(uint96 amount, uint16 time) external {
        vm.startPrank(named("tightener"));
        try GATE.tighten(ETHER, amount, uint64(block.timestamp + time)) {} catch {}
        try GATE.delayAbove(ETHER, amount / 8, uint64(block.timestamp + time)) {} catch {}
        vm.stopPrank();
    }

    /// @dev Pausing and resuming at the same moment must be as if nothing had happened; sometimes it stays paused.
    function pause(bool stay) external {
        vm.startPrank(named("guardian"));
        if (GATE.paused()) GATE.unpause();
        bytes32 before = state();
        GATE.pause();
        if (!stay) GATE.unpause();
        vm.stopPrank();
        if (state() != before) ++resumesThatChangedState;
    }

    function wait(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 1, 4 hours));
    }

    /// @dev The most that left in any window, both ends included, that ends with an outflow: no other window has more.
    function mostInAnyWindow() external view returns (uint256 most) {
        uint256 window = GATE.window();
        for (uint256 i = 0; i < times.length; ++i) {
            uint256 sum;
            for (uint256 j = 0; j <= i; ++j) {
                if (times[i] - times[j] <= window) sum += amounts[j];
            }
            if (sum > most) most = sum;
        }
    }

    function state() private view returns (bytes32) {
        (uint192 limit, uint64 limitUntil) = GATE.tightened(ETHER);
        (uint192 threshold, uint64 thresholdUntil) = GATE.delayed(ETHER);
        bytes memory queue;
        for (uint256 i = 0; i < pending.length; ++i) {
            (uint64 readyAt, address signer) = GATE.queued(GATE.digestOf(pending[i]));
            queue = abi.encodePacked(queue, readyAt, signer);
        }
        return keccak256(
            abi.encode(
                limit,
                limitUntil,
                threshold,
                thresholdUntil,
                GATE.outflow(ETHER),
                GATE.available(ETHER),
                GATE.nonceUsed(nonce),
                address(GATE).balance,
                queue
            )
        );
    }
}

contract GateInvariantTest is GateFixture {
    GateHandler private handler;

    function setUp() public override {
        super.setUp();
        vm.deal(address(gate), 1_000_000 ether);
        handler = new GateHandler(gate);
    }

    function targetContracts() external view returns (address[] memory) {
        return one(address(handler));
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = handler.steal.selector;
        selectors[1] = handler.steal.selector;
        selectors[2] = handler.take.selector;
        selectors[3] = handler.tighten.selector;
        selectors[4] = handler.pause.selector;
        selectors[5] = handler.wait.selector;
        selectors[6] = handler.wait.selector;
        list = new FuzzSelector[](1);
        list[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_in_any_window_at_most_the_limit_leaves() public view {
        assertLe(handler.mostInAnyWindow(), LIMIT, "outflow of a window");
    }

    function invariant_paused_means_no_outflow_and_a_resume_restores_the_state() public view {
        assertEq(handler.leftWhilePaused(), 0, "outflow while paused");
        assertEq(handler.resumesThatChangedState(), 0, "resumes");
    }

    function invariant_the_gate_has_what_it_had_less_what_left() public view {
        assertEq(address(gate).balance + handler.total(), 1_000_000 ether, "balance");
    }
}

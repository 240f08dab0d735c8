// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {WithdrawalGate} from "../src/WithdrawalGate.sol";
import {Token} from "../rehearsal/Token.sol";
import {Test} from "./Test.sol";

/// @notice A gate with a window of twelve hours (slots of one), a limit of 100 ether and of 1,000 tokens, and ten times that inside.
abstract contract GateFixture is Test {
    uint64 internal constant WINDOW = 12 hours;
    uint64 internal constant SLOT = 1 hours;
    uint64 internal constant DELAY = 6 hours;
    uint192 internal constant LIMIT = 100 ether;
    uint192 internal constant TOKEN_LIMIT = 1_000e6;

    address internal admin = named("admin");
    address internal signer = named("signer");
    address internal guardian = named("guardian");
    address internal tightener = named("tightener");
    address internal user = named("user");
    address internal constant ETHER = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE;
    WithdrawalGate internal gate;
    Token internal token;
    uint256 internal nonces;

    function setUp() public virtual {
        // The middle of a slot, so that a test chooses its own boundaries.
        vm.warp(1_700_000_000 / SLOT * SLOT + SLOT / 2);
        gate = new WithdrawalGate(admin, signer, guardian, tightener, WINDOW, DELAY);
        token = new Token("Dollar", "USD", 6);
        vm.deal(address(gate), 10 * LIMIT);
        token.mint(address(gate), 10 * TOKEN_LIMIT);
        vm.startPrank(admin);
        gate.setLimit(ETHER, LIMIT);
        gate.setLimit(address(token), TOKEN_LIMIT);
        vm.stopPrank();
    }

    function etherOf(uint256 amount) internal returns (WithdrawalGate.Withdrawal memory) {
        return WithdrawalGate.Withdrawal(ETHER, user, amount, nonces++, block.timestamp);
    }

    function tokensOf(uint256 amount) internal returns (WithdrawalGate.Withdrawal memory) {
        return WithdrawalGate.Withdrawal(address(token), user, amount, nonces++, block.timestamp);
    }

    function sign(WithdrawalGate.Withdrawal memory w) internal view returns (bytes memory) {
        return signAs("signer", w);
    }

    function signAs(string memory who, WithdrawalGate.Withdrawal memory w) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf(who), gate.digestOf(w));
        return abi.encodePacked(r, s, v);
    }

    function withdraw(WithdrawalGate.Withdrawal memory w) internal returns (bool paid) {
        return gate.withdraw(w, sign(w));
    }

    /// @dev The next withdrawal of `w` reverts with `reason`. Signed before, because the next call is the one expected to revert.
    function refuse(WithdrawalGate.Withdrawal memory w, bytes memory reason) internal {
        bytes memory signature = sign(w);
        vm.expectRevert(reason);
        gate.withdraw(w, signature);
    }

    function overLimit(WithdrawalGate.Withdrawal memory w, uint256 available) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(WithdrawalGate.OverLimit.selector, w.asset, w.amount, available);
    }

    function skip(uint256 time) internal {
        vm.warp(block.timestamp + time);
    }

    function soon(uint256 time) internal view returns (uint64) {
        return uint64(block.timestamp + time);
    }

    /// @dev All that is stored, save the flag of the pause itself.
    function state() internal view returns (bytes memory) {
        return abi.encode(
            [gate.outflow(ETHER), gate.outflow(address(token)), gate.available(ETHER), gate.available(address(token))],
            [gate.delayThreshold(ETHER), gate.allowlistUntil(), gate.limitOf(ETHER), gate.limitOf(address(token))],
            [gate.signer(), gate.guardian(), gate.tightener()],
            [gate.nonceUsed(0), gate.nonceUsed(1), gate.nonceUsed(2), gate.nonceUsed(3)],
            address(gate).balance,
            token.balanceOf(address(gate))
        );
    }
}

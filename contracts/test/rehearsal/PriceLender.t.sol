// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Amm} from "../../rehearsal/Amm.sol";
import {FlashLender} from "../../rehearsal/FlashLender.sol";
import {FlashPriceAttacker} from "../../rehearsal/FlashPriceAttacker.sol";
import {PriceLender} from "../../rehearsal/PriceLender.sol";
import {Stoppable} from "../../rehearsal/Stoppable.sol";
import {Token} from "../../rehearsal/Token.sol";
import {Test} from "../Test.sol";

contract RefusesEther {}

abstract contract PriceLenderFixture is Test {
    address internal owner = named("owner");
    address internal pauser = named("pauser");
    address internal user = named("user");
    address internal debtor = named("debtor");
    Token internal base;
    Token internal quote;
    Amm internal amm;
    PriceLender internal victim;
    FlashLender internal lender;
    FlashPriceAttacker internal attacker;

    function setUp() public {
        base = new Token("Governance", "GOV", 18);
        quote = new Token("Dollar", "USD", 6);
        amm = new Amm(base, quote);
        base.mint(address(this), 1_000_000e18);
        quote.mint(address(this), 2_000_000e6);
        base.approve(address(amm), type(uint256).max);
        quote.approve(address(amm), type(uint256).max);
        amm.addLiquidity(1_000_000e18, 2_000_000e6);
        victim = new PriceLender(amm, 2e6, owner, pauser);
        supply(user, 3_000_000e6);
        pledge(debtor, 10_000e18);
        vm.prank(debtor);
        victim.borrow(10_000e6);
        lender = new FlashLender();
        quote.mint(address(lender), 50_000_000e6);
        attacker = new FlashPriceAttacker(lender);
    }

    function supply(address who, uint256 amount) internal {
        quote.mint(who, amount);
        vm.startPrank(who);
        quote.approve(address(victim), type(uint256).max);
        victim.supply(amount);
        vm.stopPrank();
    }

    function pledge(address who, uint256 amount) internal {
        base.mint(who, amount);
        vm.startPrank(who);
        base.approve(address(victim), type(uint256).max);
        quote.approve(address(victim), type(uint256).max);
        victim.addCollateral(amount);
        vm.stopPrank();
    }

    function sound() internal view returns (bool) {
        return victim.assets() >= victim.liabilities() * 999 / 1000;
    }
}

contract PriceLenderWorksTest is PriceLenderFixture {
    function test_ordinary_use_keeps_assets_equal_to_liabilities() public {
        assertEq(victim.assets(), victim.liabilities(), "at first");
        vm.startPrank(debtor);
        victim.repay(debtor, 4_000e6);
        victim.removeCollateral(1_000e18);
        vm.stopPrank();
        vm.prank(user);
        victim.withdraw(1_000_000e6);
        assertEq(victim.assets(), victim.liabilities(), "after");
    }

    function test_the_factor_bounds_a_borrow() public {
        vm.startPrank(debtor);
        vm.expectPartialRevert(PriceLender.Unhealthy.selector);
        victim.borrow(5_000e6 + 1);
        victim.borrow(5_000e6);
        vm.stopPrank();
    }

    function test_a_fallen_price_lets_anybody_liquidate() public {
        vm.expectPartialRevert(PriceLender.Healthy.selector);
        victim.liquidate(debtor, 1);
        base.mint(address(this), 300_000e18);
        amm.swap(base, 300_000e18, 0);
        quote.approve(address(victim), type(uint256).max);
        victim.liquidate(debtor, 2_000e6);
        assertEq(victim.debtOf(debtor), 8_000e6, "debt");
        assertGe(base.balanceOf(address(this)) * amm.spotPrice() / 1e18, 2_199e6, "collateral with the discount");
        assertTrue(sound(), "benign");
    }

    function test_swaps_honour_their_minimum_and_their_pair() public {
        vm.expectRevert(abi.encodeWithSelector(Amm.NotInPair.selector, address(this)));
        amm.swap(Token(address(this)), 1, 0);
        vm.expectRevert(abi.encodeWithSelector(Amm.TooLittle.selector, 0, 1));
        amm.swap(base, 1, 1);
    }

    function test_only_the_owner_stores_the_reference_price() public {
        vm.expectRevert(abi.encodeWithSelector(Stoppable.NotOwner.selector, address(this)));
        victim.setReferencePrice(1);
        vm.prank(owner);
        victim.setReferencePrice(1e6);
        assertEq(victim.badDebt(), 0, "10,000 at 1 covers 10,000");
        vm.prank(owner);
        victim.setReferencePrice(5e5);
        assertEq(victim.badDebt(), 5_000e6, "at a half it does not");
    }
}

contract PriceLenderAttackTest is PriceLenderFixture {
    function test_the_attack_takes_the_cash_and_leaves_bad_debt() public {
        uint256 loot = attacker.attack(victim, 0, 0);
        assertGe(loot, 2_700_000e6, "of 2,990,000");
        assertEq(quote.balanceOf(address(attacker)), loot, "kept at his own address");
        assertEq(quote.balanceOf(address(lender)), 50_000_000e6, "loan repaid");
        assertFalse(sound(), "assets < liabilities");
    }

    function test_it_pays_the_builder_out_of_what_it_was_sent() public {
        vm.coinbase(named("builder"));
        attacker.attack{value: 3 ether}(victim, 3 ether, 0);
        assertEq(named("builder").balance, 3 ether, "bribe");
    }

    function test_a_builder_that_takes_no_ether_voids_it() public {
        address coinbase = address(new RefusesEther());
        vm.coinbase(coinbase);
        vm.expectRevert(abi.encodeWithSelector(FlashPriceAttacker.BribeNotTaken.selector, coinbase));
        attacker.attack{value: 1}(victim, 1, 0);
    }

    function test_the_bomb_burns_what_it_is_told() public {
        uint256 before = gasleft();
        attacker.attack(victim, 0, 3_000_000);
        assertGe(before - gasleft(), 3_000_000, "gas");
    }

    function test_a_pause_stops_it_whatever_it_pays() public {
        vm.prank(pauser);
        victim.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        attacker.attack{value: 3 ether}(victim, 3 ether, 0);
        assertTrue(sound(), "nothing lost");
    }

    function test_paused_lenders_leave_and_debtors_repay() public {
        vm.prank(pauser);
        victim.pause();
        vm.prank(user);
        victim.withdraw(1_000_000e6);
        vm.startPrank(debtor);
        vm.expectRevert(abi.encodeWithSelector(PriceLender.HasDebtWhilePaused.selector, debtor, 10_000e6));
        victim.removeCollateral(1);
        victim.repay(debtor, 10_000e6);
        victim.removeCollateral(10_000e18);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        victim.supply(1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        victim.addCollateral(1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        victim.liquidate(user, 1);
        vm.stopPrank();
    }
}

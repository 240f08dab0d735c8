// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {FlashLender} from "../../rehearsal/FlashLender.sol";
import {Market} from "../../rehearsal/Market.sol";
import {
    FixedMarketAttacker,
    GatedMarketAttacker,
    MarketAttack,
    MarketAttacker
} from "../../rehearsal/MarketAttacker.sol";
import {Token} from "../../rehearsal/Token.sol";
import {Test} from "../Test.sol";

abstract contract MarketFixture is Test {
    address internal pauser = named("pauser");
    address internal user = named("user");
    address internal debtor = named("debtor");
    Token internal token;
    Market internal market;
    FlashLender internal lender;
    MarketAttacker internal attacker;

    function setUp() public virtual {
        token = new Token("Dai", "DAI", 18);
        market = new Market(token, named("owner"), pauser);
        lender = new FlashLender();
        attacker = new MarketAttacker(lender);
        give(user, 10_000_000e18);
        give(debtor, 1_000_000e18);
        token.mint(address(lender), 60_000_000e18);
        vm.prank(debtor);
        market.borrow(500_000e18);
    }

    function give(address who, uint256 amount) internal {
        token.mint(who, amount);
        vm.startPrank(who);
        token.approve(address(market), type(uint256).max);
        market.deposit(amount);
        vm.stopPrank();
    }

    function sound() internal view returns (bool) {
        return market.assets() >= market.liabilities() * 999 / 1000;
    }

    function stop() internal {
        vm.prank(pauser);
        market.pause();
    }
}

contract MarketWorksTest is MarketFixture {
    function test_assets_equal_liabilities_through_ordinary_use() public {
        assertEq(market.assets(), market.liabilities(), "at first");
        vm.startPrank(debtor);
        market.leverage(1_000_000e18);
        market.repay(debtor, 300_000e18);
        market.withdraw(100_000e18);
        market.donate(1e18);
        vm.stopPrank();
        assertEq(market.assets(), market.liabilities(), "after");
        assertEq(market.badDebt(), 0, "bad debt");
    }

    function test_an_unhealthy_borrow_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Market.Unhealthy.selector, debtor, 950_000e18 + 1, 1_000_000e18));
        vm.prank(debtor);
        market.borrow(450_000e18 + 1);
        vm.prank(debtor);
        market.borrow(450_000e18);
    }

    function test_a_healthy_account_is_not_liquidated() public {
        vm.expectRevert(abi.encodeWithSelector(Market.Healthy.selector, debtor, 500_000e18, 1_000_000e18));
        market.liquidate(debtor, 1);
    }
}

contract MarketAttackTest is MarketFixture {
    function test_the_attack_takes_most_of_the_cash_as_euler_s_did() public {
        uint256 cash = market.cash();
        uint256 loot = attacker.attack(market);
        assertGe(loot, cash * 92 / 100, "loot at least");
        assertLe(loot, cash * 94 / 100, "loot at most");
        assertEq(token.balanceOf(address(attacker)), loot, "kept at his own address");
        assertEq(token.balanceOf(address(lender)), 60_000_000e18, "loan repaid");
        assertFalse(sound(), "assets < liabilities");
    }

    function test_the_donation_alone_breaks_the_invariant() public {
        give(address(this), 20_000_000e18);
        token.mint(address(this), 10_000_000e18);
        token.approve(address(market), type(uint256).max);
        market.leverage(200_000_000e18);
        market.repay(address(this), 10_000_000e18);
        market.leverage(200_000_000e18);
        assertTrue(sound(), "before");
        market.donate(100_000_000e18);
        assertFalse(sound(), "after");
        assertEq(market.badDebt(), 70_000_000e18, "390 owed, 320 deposited");
    }

    function test_it_works_again_for_a_second_market() public {
        Market first = market;
        attacker.attack(first);
        market = new Market(token, named("owner"), pauser);
        give(user, 2_000_000e18);
        assertGe(attacker.attack(market), 1_700_000e18, "loot of the sister");
    }

    function test_the_fixed_variant_attacks_its_own_market_only() public {
        FixedMarketAttacker fixedAttacker = new FixedMarketAttacker(lender, market);
        assertGe(fixedAttacker.attack(), 9_000_000e18, "loot");
    }

    function test_the_gated_variant_needs_its_password() public {
        bytes32 password = "open sesame";
        GatedMarketAttacker gated = new GatedMarketAttacker(lender, keccak256(abi.encode(password)));
        vm.expectRevert(GatedMarketAttacker.WrongPassword.selector);
        gated.attack(market, "guess");
        assertGe(gated.attack(market, password), 9_000_000e18, "loot");
    }

    function test_a_pause_stops_it() public {
        stop();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        attacker.attack(market);
        assertTrue(sound(), "nothing lost");
    }

    function test_a_flash_loan_calls_nobody_but_its_borrower() public {
        vm.expectRevert();
        attacker.onFlashLoan(address(this), address(token), 1, abi.encode(market));
    }

    function testFuzz_it_pays_in_markets_of_any_size(uint256 deposits) public {
        deposits = bound(deposits, 1e18, 15_000_000e18);
        market = new Market(token, named("owner"), pauser);
        give(user, deposits);
        assertGe(attacker.attack(market), deposits * 92 / 100, "loot");
    }
}

contract MarketPausedTest is MarketFixture {
    function setUp() public override {
        super.setUp();
        stop();
    }

    function test_repay_still_works() public {
        vm.prank(debtor);
        market.repay(debtor, 500_000e18);
        assertEq(market.debtOf(debtor), 0, "debt");
    }

    function test_withdraw_of_the_healthy_still_works() public {
        vm.prank(user);
        market.withdraw(1_000_000e18);
        assertEq(token.balanceOf(user), 1_000_000e18, "paid");
        vm.expectPartialRevert(Market.Unhealthy.selector);
        vm.prank(debtor);
        market.withdraw(1_000_000e18 - 1);
    }

    function test_all_else_is_stopped() public {
        vm.startPrank(debtor);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        market.deposit(1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        market.borrow(1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        market.leverage(1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        market.donate(1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        market.liquidate(user, 1);
        vm.stopPrank();
    }
}

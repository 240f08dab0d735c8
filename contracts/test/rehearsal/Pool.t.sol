// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {GasBurnToken} from "../../rehearsal/BadTokens.sol";
import {FlashLender} from "../../rehearsal/FlashLender.sol";
import {Pool} from "../../rehearsal/Pool.sol";
import {ReentrancyAttacker} from "../../rehearsal/ReentrancyAttacker.sol";
import {Token} from "../../rehearsal/Token.sol";
import {Test} from "../Test.sol";

abstract contract PoolFixture is Test {
    address internal pauser = named("pauser");
    address internal user = named("user");
    Token internal token;
    Pool internal pool;
    FlashLender internal lender;
    ReentrancyAttacker internal attacker;

    function setUp() public {
        token = new Token("Pegged ether", "pETH", 18);
        lender = new FlashLender();
        vm.deal(address(lender), 10_000 ether);
        attacker = new ReentrancyAttacker(lender);
        pool = create(IERC20(address(0)), 500 ether);
    }

    function create(IERC20 extra, uint256 amount) internal returns (Pool made) {
        made = new Pool(token, extra, named("owner"), pauser);
        vm.deal(user, amount + 100 ether);
        token.mint(user, amount + 100 ether);
        vm.startPrank(user);
        token.approve(address(made), type(uint256).max);
        made.addLiquidity{value: amount}(amount);
        vm.stopPrank();
    }

    function sound(Pool p) internal view returns (bool) {
        return p.reserves() >= p.claims() * 999 / 1000;
    }
}

contract PoolWorksTest is PoolFixture {
    function test_liquidity_and_swaps_never_lose_reserves() public {
        vm.startPrank(user);
        assertEq(pool.swapEther{value: 10 ether}(), 9.996 ether, "tokens out");
        assertEq(pool.swapTokens(5 ether), 4.998 ether, "ether out");
        pool.addLiquidity{value: 1 ether}(0);
        pool.removeLiquidity(300 ether);
        vm.stopPrank();
        assertGe(pool.reserves(), pool.claims(), "the fee only adds");
    }

    function test_more_shares_than_held_are_refused() public {
        vm.expectRevert(abi.encodeWithSelector(Pool.NotEnoughShares.selector, address(this), 0, 1));
        pool.removeLiquidity(1);
    }

    function test_a_receiver_that_takes_no_ether_gets_none() public {
        token.mint(address(this), 1 ether);
        token.approve(address(pool), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(Pool.EtherNotTaken.selector, address(this)));
        pool.swapTokens(1 ether);
    }
}

contract PoolAttackTest is PoolFixture {
    function test_the_attack_takes_nearly_everything() public {
        attacker.attack(pool, 6);
        uint256 loot = address(attacker).balance + token.balanceOf(address(attacker));
        assertGe(loot, 950 ether, "of 1,000");
        assertEq(address(lender).balance, 10_000 ether, "loan repaid");
        assertFalse(sound(pool), "reserves < claims");
    }

    function test_without_entering_again_he_cannot_repay() public {
        vm.expectRevert();
        attacker.attack(pool, 1);
    }

    function test_sister_pools_fall_to_the_same_contract() public {
        Pool sister = create(IERC20(address(0)), 90 ether);
        attacker.attack(pool, 4);
        attacker.attack(sister, 6);
        assertFalse(sound(sister), "the sister too");
    }

    function test_a_token_that_burns_gas_in_the_pool_does_not_stop_the_attack_or_the_view() public {
        GasBurnToken extra = new GasBurnToken();
        pool = create(extra, 100 ether);
        extra.mint(address(pool), 1 ether);
        extra.setBad(true);
        assertEq(pool.reserves(), 200 ether, "the view does not ask it");
        attacker.attack(pool, 6);
        assertFalse(sound(pool), "attacked");
    }

    function test_a_pause_stops_it_and_shares_still_move() public {
        vm.prank(pauser);
        pool.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        attacker.attack(pool, 6);
        vm.startPrank(user);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        pool.removeLiquidity(1 ether);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        pool.swapEther{value: 1}();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        pool.swapTokens(1);
        assertTrue(pool.transfer(address(this), 1 ether), "golden: transfer of shares");
        vm.stopPrank();
        assertTrue(sound(pool), "nothing lost");
    }
}

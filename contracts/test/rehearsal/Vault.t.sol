// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Guardian} from "../../src/Guardian.sol";
import {Stoppable} from "../../rehearsal/Stoppable.sol";
import {Token} from "../../rehearsal/Token.sol";
import {Vault} from "../../rehearsal/Vault.sol";
import {HonestRoute, VaultAttacker} from "../../rehearsal/VaultAttacker.sol";
import {Test} from "../Test.sol";

abstract contract VaultFixture is Test {
    address internal owner = named("owner");
    address internal pauser = named("pauser");
    address internal user = named("user");
    Token internal token;
    Vault internal vault;
    Vault internal sister;
    VaultAttacker internal attacker;

    function setUp() public {
        token = new Token("Dollar", "USD", 6);
        vault = new Vault(token, "Vault", "vUSD", owner, pauser);
        sister = new Vault(token, "Sister", "sUSD", owner, pauser);
        attacker = new VaultAttacker();
        fill(vault, 1_000_000e6);
        fill(sister, 40_000e6);
    }

    function fill(Vault v, uint256 amount) internal {
        token.mint(user, amount);
        vm.startPrank(user);
        token.approve(address(v), amount);
        v.deposit(amount, user);
        vm.stopPrank();
    }

    function sound(Vault v) internal view returns (bool) {
        return v.totalAssets() >= v.totalSupply() * 999 / 1000;
    }
}

contract VaultWorksTest is VaultFixture {
    function test_a_deposit_and_a_redemption_leave_the_price_alone() public {
        vm.prank(user);
        assertEq(vault.redeem(400_000e6, user, user), 400_000e6, "one for one");
        assertEq(token.balanceOf(user), 400_000e6, "paid");
        assertTrue(sound(vault), "price");
        assertEq(vault.asset(), address(token), "asset");
    }

    function test_an_honest_route_brings_what_it_says() public {
        HonestRoute route = new HonestRoute();
        token.mint(address(route), 5e6);
        assertEq(vault.depositVia(route, 5e6, user), 5e6, "shares");
        assertTrue(sound(vault), "price");
    }

    function test_an_allowance_of_shares_lets_another_redeem() public {
        vm.prank(user);
        vault.approve(address(this), 7e6);
        assertEq(vault.redeem(7e6, address(this), user), 7e6, "assets");
    }

    function test_a_route_that_delivers_nothing_is_refused() public {
        vm.expectRevert(Vault.NothingDelivered.selector);
        vault.depositVia(attacker, 0, user);
    }
}

contract VaultAttackTest is VaultFixture {
    function test_the_attack_takes_nine_tenths_and_breaks_the_price() public {
        uint256 loot = attacker.attack(vault, 9);
        assertEq(loot, 900_000e6, "loot");
        assertEq(token.balanceOf(address(attacker)), loot, "kept at his own address");
        assertFalse(sound(vault), "price");
        assertTrue(sound(sister), "the sister is untouched");
    }

    function test_the_same_attack_works_on_the_sister() public {
        attacker.attack(sister, 9);
        assertEq(token.balanceOf(address(attacker)), 36_000e6, "loot");
        attacker.attack(vault, 99);
        assertEq(token.balanceOf(address(attacker)), 36_000e6 + 990_000e6, "both");
    }

    function test_a_pause_stops_it_and_shares_still_move() public {
        vm.prank(pauser);
        vault.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        attacker.attack(vault, 9);
        vm.prank(user);
        assertTrue(vault.transfer(address(this), 1e6), "golden: transfer of shares");
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vault.redeem(1e6, address(this), address(this));
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vault.deposit(1, user);
    }

    function test_shares_minted_before_the_pause_cannot_leave_during_it() public {
        vault.depositVia(attacker, 9_000_000e6, address(this));
        vm.prank(pauser);
        vault.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vault.redeem(1, address(this), address(this));
    }

    function test_after_the_pause_lapses_the_same_attack_works_again() public {
        Guardian guardian = new Guardian(address(this), 1 hours, 6 hours, 7 days, 1 days, 3);
        vm.prank(owner);
        vault.setPauser(address(guardian), true);
        guardian.register(address(vault));
        Guardian.Result[] memory results = guardian.pause(one(address(vault)), 1 hours);
        assertTrue(results[0].outcome == Guardian.Outcome.Paused, "through the Guardian");
        vm.warp(block.timestamp + 1 hours);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        attacker.attack(vault, 9);
        guardian.lapse(address(vault));
        assertEq(attacker.attack(vault, 9), 900_000e6, "he waited it out");
    }
}

contract StoppableTest is VaultFixture {
    function test_only_a_pauser_pauses() public {
        vm.expectRevert(abi.encodeWithSelector(Stoppable.NotPauser.selector, address(this)));
        vault.pause();
        vm.expectRevert(abi.encodeWithSelector(Stoppable.NotPauser.selector, address(this)));
        vault.unpause();
    }

    function test_only_the_owner_names_pausers() public {
        vm.expectRevert(abi.encodeWithSelector(Stoppable.NotOwner.selector, address(this)));
        vault.setPauser(address(this), true);
        vm.prank(owner);
        vault.setPauser(pauser, false);
        vm.expectRevert(abi.encodeWithSelector(Stoppable.NotPauser.selector, pauser));
        vm.prank(pauser);
        vault.pause();
    }

    function test_pausing_twice_reverts_as_openzeppelin_does() public {
        vm.startPrank(pauser);
        vault.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vault.pause();
        vault.unpause();
        vm.expectRevert(Pausable.ExpectedPause.selector);
        vault.unpause();
        vm.stopPrank();
    }
}

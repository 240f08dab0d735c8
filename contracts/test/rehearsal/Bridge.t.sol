// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Bridge} from "../../rehearsal/Bridge.sol";
import {Stoppable} from "../../rehearsal/Stoppable.sol";
import {Token} from "../../rehearsal/Token.sol";
import {Test} from "../Test.sol";

abstract contract BridgeFixture is Test {
    address internal updater = named("updater");
    address internal owner = named("owner");
    address internal pauser = named("pauser");
    address internal thief = named("thief");
    Token internal token;
    Bridge internal bridge;

    function setUp() public {
        token = new Token("Bitcoin", "WBTC", 6);
        bridge = new Bridge(updater, owner, pauser, false);
        token.mint(address(bridge), 1_000e6);
    }

    function sound() internal view returns (bool) {
        return bridge.released(address(token)) <= bridge.attested(address(token));
    }

    function attest(bytes memory message, uint256 amount) internal {
        vm.prank(updater);
        bridge.attest(keccak256(message), address(token), amount);
    }
}

contract BridgeWorksTest is BridgeFixture {
    function test_an_attested_message_is_processed_once() public {
        bytes memory message = bridge.encode(1, address(token), thief, 5e6);
        attest(message, 5e6);
        bridge.process(message);
        assertEq(token.balanceOf(thief), 5e6, "released");
        assertTrue(sound(), "released <= attested");
        vm.expectRevert(abi.encodeWithSelector(Bridge.AlreadyProcessed.selector, keccak256(message)));
        bridge.process(message);
    }

    function test_a_healthy_bridge_refuses_forged_messages() public {
        bytes memory message = bridge.encode(1, address(token), thief, 100e6);
        vm.expectRevert(abi.encodeWithSelector(Bridge.NotProven.selector, keccak256(message)));
        bridge.process(message);
    }

    function test_only_the_updater_attests_and_only_once() public {
        vm.expectRevert(abi.encodeWithSelector(Bridge.NotUpdater.selector, address(this)));
        bridge.attest("x", address(token), 1);
        vm.startPrank(updater);
        bridge.attest("x", address(token), 1);
        vm.expectRevert(abi.encodeWithSelector(Bridge.AlreadyKnown.selector, bytes32("x")));
        bridge.attest("x", address(token), 1);
        vm.stopPrank();
    }

    function test_only_the_owner_initialises() public {
        vm.expectRevert(abi.encodeWithSelector(Stoppable.NotOwner.selector, address(this)));
        bridge.initialise(0);
    }
}

contract BridgeAttackTest is BridgeFixture {
    function test_after_the_bad_upgrade_the_first_forged_message_breaks_the_invariant() public {
        vm.prank(owner);
        bridge.initialise(0);
        bridge.process(bridge.encode(1, address(token), thief, 12e6));
        assertEq(token.balanceOf(thief), 12e6, "1.2 %, as Nomad's first");
        assertFalse(sound(), "released > attested");
        bridge.process(bridge.encode(1, address(token), named("copycat"), 12e6));
        assertEq(token.balanceOf(named("copycat")), 12e6, "a copy with another address");
    }

    function test_a_bridge_may_start_broken() public {
        bridge = new Bridge(updater, owner, pauser, true);
        token.mint(address(bridge), 1e6);
        bridge.process(bridge.encode(1, address(token), thief, 1e6));
        assertEq(token.balanceOf(thief), 1e6, "loot");
    }

    function test_a_pause_stops_process_and_nothing_else() public {
        vm.prank(owner);
        bridge.initialise(0);
        vm.prank(pauser);
        bridge.pause();
        bytes memory message = bridge.encode(1, address(token), thief, 100e6);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        bridge.process(message);
        attest("honest", 7);
        token.mint(address(this), 3e6);
        token.approve(address(bridge), 3e6);
        bridge.send(address(token), 3e6, thief);
        assertEq(token.balanceOf(address(bridge)), 1_003e6, "golden: send");
    }
}

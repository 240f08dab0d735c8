// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Deploy} from "../script/Deploy.s.sol";
import {Guardian} from "../src/Guardian.sol";
import {Test} from "./Test.sol";

contract DeployTest is Test {
    function test_the_script_ships_the_documented_defaults() public {
        vm.setEnv("GUARDIAN_ADMIN", "0x00000000000000000000000000000000000000AA");
        Guardian guardian = new Deploy().run();
        assertEq(guardian.admin(), address(0xAA), "admin");
        assertEq(guardian.minDuration(), 1 hours, "minDuration");
        assertEq(guardian.maxDuration(), 6 hours, "maxDuration");
        assertEq(guardian.maxTotal(), 7 days, "maxTotal");
        assertEq(guardian.heartbeatInterval(), 7 days, "heartbeatInterval");
        assertEq(guardian.maxUses(), 3, "maxUses");
    }
}

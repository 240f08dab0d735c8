// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Guardian} from "../src/Guardian.sol";
import {Target} from "./Target.sol";
import {Test} from "./Test.sol";

/// @notice A Guardian with three uses, a pauser, a person, and three registered honest targets.
abstract contract GuardianFixture is Test {
    uint64 internal constant MIN = 1 hours;
    uint64 internal constant MAX = 6 hours;
    uint64 internal constant TOTAL = 1 days;
    uint64 internal constant BEAT = 3 days;
    uint32 internal constant USES = 3;

    address internal admin = named("admin");
    address internal pauser = named("pauser");
    address internal person = named("person");
    address internal stranger = named("stranger");
    Guardian internal guardian;
    Target internal a;
    Target internal b;
    Target internal c;

    function setUp() public virtual {
        guardian = new Guardian(admin, MIN, MAX, TOTAL, BEAT, USES);
        (a, b, c) = (new Target(), new Target(), new Target());
        vm.startPrank(admin);
        guardian.setPauser(pauser);
        guardian.setPerson(person, true);
        guardian.register(address(a));
        guardian.register(address(b));
        guardian.register(address(c));
        vm.stopPrank();
    }

    function pause(address who, address target, uint64 duration) internal returns (Guardian.Result memory) {
        vm.prank(who);
        return first(guardian.pause(one(target), duration));
    }

    function extend(address who, address target, uint64 duration) internal returns (Guardian.Result memory) {
        vm.prank(who);
        return first(guardian.extend(one(target), duration));
    }

    /// @dev None after an expected revert.
    function first(Guardian.Result[] memory results) private pure returns (Guardian.Result memory result) {
        return results.length == 0 ? result : results[0];
    }

    function all() internal view returns (address[] memory list) {
        list = new address[](3);
        (list[0], list[1], list[2]) = (address(a), address(b), address(c));
    }

    function skip(uint256 time) internal {
        vm.warp(block.timestamp + time);
    }

    function assertOutcome(Guardian.Result memory result, Guardian.Outcome outcome) internal pure {
        assertEq(uint256(result.outcome), uint256(outcome), "outcome");
    }

    /// @dev Everything that a call could change, to compare before with after.
    function state() internal view returns (bytes memory) {
        return abi.encode(
            guardian.pauser(),
            guardian.usesLeft(),
            guardian.lastHeartbeat(),
            guardian.status(address(a)),
            guardian.status(address(b)),
            guardian.status(address(c))
        );
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Guardian} from "../src/Guardian.sol";

interface ScriptVm {
    function envAddress(string calldata name) external view returns (address);
    function envOr(string calldata name, uint256 otherwise) external view returns (uint256);
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// @notice Deploys a Guardian. Settings come from the environment; these are the defaults and their reasons.
/// Afterwards the admin sends setPauser, setPerson and register, and every target grants the Guardian its pauser role.
contract Deploy {
    ScriptVm private constant vm = ScriptVm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external returns (Guardian guardian) {
        address admin = vm.envAddress("GUARDIAN_ADMIN"); // a Safe
        uint256 minDuration = vm.envOr("GUARDIAN_MIN_DURATION", 1 hours); // people need half an hour to arrive
        uint256 maxDuration = vm.envOr("GUARDIAN_MAX_DURATION", 6 hours); // the outage budget of a month
        uint256 maxTotal = vm.envOr("GUARDIAN_MAX_TOTAL", 7 days); // what a fix and its timelock take
        uint256 heartbeatInterval = vm.envOr("GUARDIAN_HEARTBEAT_INTERVAL", 7 days); // a beat a day, six may be missed
        uint256 maxUses = vm.envOr("GUARDIAN_MAX_USES", 3); // two attacks, and one kept
        vm.startBroadcast();
        guardian = new Guardian(
            admin,
            uint64(minDuration),
            uint64(maxDuration),
            uint64(maxTotal),
            uint64(heartbeatInterval),
            uint32(maxUses)
        );
        vm.stopBroadcast();
    }
}

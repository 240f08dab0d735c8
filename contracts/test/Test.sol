// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice The cheat codes of forge that these tests use. Our own few lines, because forge-std is not on npm.
interface Vm {
    function addr(uint256 key) external pure returns (address);
    function assume(bool condition) external pure;
    function coinbase(address who) external;
    function deal(address who, uint256 balance) external;
    function etch(address who, bytes calldata code) external;
    function expectEmit() external;
    function expectPartialRevert(bytes4 selector) external;
    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function prank(address who) external;
    function revertToState(uint256 id) external returns (bool);
    function setEnv(string calldata name, string calldata value) external;
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function snapshotState() external returns (uint256 id);
    function startPrank(address who) external;
    function stopPrank() external;
    function warp(uint256 time) external;
}

/// @notice Assertions and names for tests. An assertion that fails reverts.
abstract contract Test {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error NotEqual(string what, bytes left, bytes right);
    error NotTrue(string what);

    function assertTrue(bool value, string memory what) internal pure {
        if (!value) revert NotTrue(what);
    }

    function assertFalse(bool value, string memory what) internal pure {
        if (value) revert NotTrue(what);
    }

    function assertEq(uint256 left, uint256 right, string memory what) internal pure {
        if (left != right) revert NotEqual(what, abi.encode(left), abi.encode(right));
    }

    function assertEq(address left, address right, string memory what) internal pure {
        if (left != right) revert NotEqual(what, abi.encode(left), abi.encode(right));
    }

    function assertEq(bytes32 left, bytes32 right, string memory what) internal pure {
        if (left != right) revert NotEqual(what, abi.encode(left), abi.encode(right));
    }

    function assertEq(bytes memory left, bytes memory right, string memory what) internal pure {
        if (keccak256(left) != keccak256(right)) revert NotEqual(what, left, right);
    }

    function assertLe(uint256 left, uint256 right, string memory what) internal pure {
        if (left > right) revert NotEqual(what, abi.encode(left), abi.encode(right));
    }

    function assertGe(uint256 left, uint256 right, string memory what) internal pure {
        if (left < right) revert NotEqual(what, abi.encode(left), abi.encode(right));
    }

    /// @dev A number from `low` to `high`, both included.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        if (value >= low && value <= high) return value;
        uint256 size = high - low + 1;
        return size == 0 ? value : low + value % size;
    }

    function named(string memory name) internal pure returns (address) {
        return vm.addr(uint256(keccak256(bytes(name))));
    }

    function keyOf(string memory name) internal pure returns (uint256) {
        return uint256(keccak256(bytes(name)));
    }

    function one(address target) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = target;
    }
}

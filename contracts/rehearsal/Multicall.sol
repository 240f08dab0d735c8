// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice Several calls in one transaction, with the interface of Multicall3's `aggregate3Value`, for benign batches and for attacks on
/// several victims at once. It calls as itself. Nothing to pause.
contract Multicall {
    struct Call3Value {
        address target;
        bool allowFailure;
        uint256 value;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    error CallFailed(uint256 index, bytes reason);

    receive() external payable {}

    function aggregate3Value(Call3Value[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok, bytes memory data) = calls[i].target.call{value: calls[i].value}(calls[i].callData);
            require(ok || calls[i].allowFailure, CallFailed(i, data));
            results[i] = Result(ok, data);
        }
    }
}

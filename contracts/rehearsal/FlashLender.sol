// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

interface IFlashBorrower {
    /// @dev Called with the loan in hand; `amount` has to be back at the lender when it returns. There is no fee.
    function onFlashLoan(address initiator, address token, uint256 amount, bytes calldata data) external payable;
}

/// @notice Lends any token or ether (address 0xEeee...EEeE) that it holds, for one call and without fee, as Balancer's vault does.
/// Fund it by sending to it. Not a victim: it re-enacts where attackers get their means from.
contract FlashLender {
    using SafeERC20 for IERC20;

    address public constant ETHER = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE;

    event FlashLoan(address indexed borrower, address indexed token, uint256 amount);

    error NotRepaid(address token, uint256 missing);

    receive() external payable {}

    function flashLoan(IFlashBorrower borrower, address token, uint256 amount, bytes calldata data) external {
        uint256 before = available(token);
        emit FlashLoan(address(borrower), token, amount);
        if (token == ETHER) {
            borrower.onFlashLoan{value: amount}(msg.sender, token, amount, data);
        } else {
            IERC20(token).safeTransfer(address(borrower), amount);
            borrower.onFlashLoan(msg.sender, token, amount, data);
        }
        uint256 afterwards = available(token);
        if (afterwards < before) revert NotRepaid(token, before - afterwards);
    }

    function available(address token) public view returns (uint256) {
        return token == ETHER ? address(this).balance : IERC20(token).balanceOf(address(this));
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @notice Forwards its caller's tokens and ether, so that an outflow of a watched wallet does not name the receiver in the
/// transaction's own `to`: the shape of thefts through disperse and swap routers. Nothing to pause.
contract Router {
    using SafeERC20 for IERC20;

    struct Forwarding {
        address token; // 0xEeee...EEeE for ether
        address to;
        uint256 amount;
    }

    address public constant ETHER = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE;

    /// @notice Pull `amount` of a token from the caller, who approved it, to `to`.
    function forward(address token, address to, uint256 amount) external {
        IERC20(token).safeTransferFrom(msg.sender, to, amount);
    }

    function forwardEther(address payable to) external payable {
        Address.sendValue(to, msg.value);
    }

    /// @notice Several at once; the ether sent must cover those in ether.
    function forwardMany(Forwarding[] calldata list) external payable {
        for (uint256 i = 0; i < list.length; ++i) {
            Forwarding calldata f = list[i];
            if (f.token == ETHER) Address.sendValue(payable(f.to), f.amount);
            else IERC20(f.token).safeTransferFrom(msg.sender, f.to, f.amount);
        }
    }
}

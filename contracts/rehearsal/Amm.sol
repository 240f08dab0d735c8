// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @notice A constant-product pair with a fee of 0.3 %. Not a victim by itself: its spot price is what one transaction can move.
/// Liquidity is given once and for all by `addLiquidity`, and belongs to nobody.
contract Amm {
    using SafeERC20 for IERC20;

    uint256 public constant FEE_BPS = 30;
    uint256 private constant BPS = 10_000;

    /// @notice The token that is priced, and the one it is priced in.
    IERC20 public immutable BASE;
    IERC20 public immutable QUOTE;

    event Swapped(address indexed who, address indexed tokenIn, uint256 amountIn, uint256 amountOut);

    error NotInPair(address token);
    error TooLittle(uint256 out, uint256 minOut);

    constructor(IERC20 base, IERC20 quote) {
        BASE = base;
        QUOTE = quote;
    }

    function addLiquidity(uint256 baseAmount, uint256 quoteAmount) external {
        BASE.safeTransferFrom(msg.sender, address(this), baseAmount);
        QUOTE.safeTransferFrom(msg.sender, address(this), quoteAmount);
    }

    function swap(IERC20 tokenIn, uint256 amountIn, uint256 minOut) external returns (uint256 out) {
        require(tokenIn == BASE || tokenIn == QUOTE, NotInPair(address(tokenIn)));
        IERC20 tokenOut = tokenIn == BASE ? QUOTE : BASE;
        uint256 paid = amountIn * (BPS - FEE_BPS) / BPS;
        out = tokenOut.balanceOf(address(this)) * paid / (tokenIn.balanceOf(address(this)) + paid);
        require(out >= minOut, TooLittle(out, minOut));
        tokenIn.safeTransferFrom(msg.sender, address(this), amountIn);
        tokenOut.safeTransfer(msg.sender, out);
        emit Swapped(msg.sender, address(tokenIn), amountIn, out);
    }

    /// @notice Units of QUOTE for 1e18 units of BASE, at this moment.
    function spotPrice() external view returns (uint256) {
        return QUOTE.balanceOf(address(this)) * 1e18 / BASE.balanceOf(address(this));
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Stoppable} from "./Stoppable.sol";

/// @notice A pool of ether and a token that is worth one ether, re-enacting Curve/Vyper 2023: the lock that the source promised was
/// not in the code, and removeLiquidity sends ether before it burns the shares, so the receiver can remove them again and again.
/// Sister pools with the same code fell one after the other over hours.
///
/// Invariant, broken by the re-entered removal: `reserves() >= claims() * 999 / 1000`. A share is a claim to one ether of reserves,
/// and the fee of swaps only adds to it.
/// Pause stops: addLiquidity, removeLiquidity, swaps. Still works: transfer and approve of shares, all views.
/// `EXTRA` is a reward token that the pool only holds, such as one that burns all gas in balanceOf; zero for none.
contract Pool is ERC20, Stoppable {
    using SafeERC20 for IERC20;

    uint256 public constant FEE_BPS = 4;
    uint256 private constant BPS = 10_000;

    IERC20 public immutable TOKEN;
    IERC20 public immutable EXTRA;

    event LiquidityAdded(address indexed who, uint256 etherIn, uint256 tokensIn, uint256 shares);
    event LiquidityRemoved(address indexed who, uint256 etherOut, uint256 tokensOut, uint256 shares);
    event Swapped(address indexed who, uint256 etherIn, uint256 tokensIn, uint256 out);

    error NotEnoughShares(address who, uint256 held, uint256 asked);
    error EtherNotTaken(address who);

    constructor(IERC20 token, IERC20 extra, address owner, address pauser)
        ERC20("Pool share", "POOL")
        Stoppable(owner, pauser)
    {
        TOKEN = token;
        EXTRA = extra;
    }

    function addLiquidity(uint256 tokens) external payable whenNotPaused returns (uint256 shares) {
        uint256 before = reserves() - msg.value;
        uint256 value = msg.value + tokens;
        shares = totalSupply() == 0 ? value : value * totalSupply() / before;
        if (tokens > 0) TOKEN.safeTransferFrom(msg.sender, address(this), tokens);
        _mint(msg.sender, shares);
        emit LiquidityAdded(msg.sender, msg.value, tokens, shares);
    }

    /// @notice Take a proportional part of ether and tokens for `shares`.
    /// @dev The bug: no lock, and the shares are burned after the ether is sent, as far as they are still there.
    function removeLiquidity(uint256 shares) external whenNotPaused {
        require(balanceOf(msg.sender) >= shares, NotEnoughShares(msg.sender, balanceOf(msg.sender), shares));
        uint256 supply = totalSupply();
        uint256 etherOut = address(this).balance * shares / supply;
        _sendEther(etherOut);
        uint256 tokensOut = TOKEN.balanceOf(address(this)) * shares / supply;
        TOKEN.safeTransfer(msg.sender, tokensOut);
        // Vyper's unchecked write of a value read before the call, in effect: what was burned inside is not burned twice.
        uint256 held = balanceOf(msg.sender);
        _burn(msg.sender, held < shares ? held : shares);
        emit LiquidityRemoved(msg.sender, etherOut, tokensOut, shares);
    }

    /// @notice Tokens for ether, one for one less the fee.
    function swapEther() external payable whenNotPaused returns (uint256 out) {
        out = msg.value * (BPS - FEE_BPS) / BPS;
        TOKEN.safeTransfer(msg.sender, out);
        emit Swapped(msg.sender, msg.value, 0, out);
    }

    /// @notice Ether for tokens, one for one less the fee.
    function swapTokens(uint256 tokens) external whenNotPaused returns (uint256 out) {
        out = tokens * (BPS - FEE_BPS) / BPS;
        TOKEN.safeTransferFrom(msg.sender, address(this), tokens);
        emit Swapped(msg.sender, 0, tokens, out);
        _sendEther(out);
    }

    /// @notice Ether and tokens held, at one to one.
    function reserves() public view returns (uint256) {
        return address(this).balance + TOKEN.balanceOf(address(this));
    }

    /// @notice What the shares were minted for.
    function claims() external view returns (uint256) {
        return totalSupply();
    }

    function _sendEther(uint256 amount) private {
        (bool ok,) = msg.sender.call{value: amount}("");
        require(ok, EtherNotTaken(msg.sender));
    }
}

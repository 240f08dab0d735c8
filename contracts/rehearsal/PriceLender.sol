// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Amm} from "./Amm.sol";
import {Stoppable} from "./Stoppable.sol";

/// @notice Lends an Amm's QUOTE against its BASE, at the Amm's spot price: the shape of many flash-loan price attacks (Harvest 2020,
/// Cream 2021, UwU 2024). One transaction lifts the price, borrows everything against little, and lets the price fall back.
///
/// Invariant, broken by the attack: `assets() >= liabilities() * 999 / 1000`. Assets are cash and the debts, each counted at most at
/// its collateral's worth by `referencePrice`, which the owner stores and no swap moves; liabilities are what lenders supplied.
/// Pause stops: supply, addCollateral, borrow, liquidate. Still works: repay, withdraw by lenders as far as there is cash, and
/// removeCollateral by whoever owes nothing.
contract PriceLender is Stoppable {
    using SafeERC20 for IERC20;

    uint256 public constant FACTOR_BPS = 7_500;
    /// @notice Liquidators get collateral worth 110 % of the debt they repay.
    uint256 public constant DISCOUNT_BPS = 11_000;
    uint256 private constant BPS = 10_000;

    Amm public immutable AMM;
    IERC20 public immutable COLLATERAL;
    IERC20 public immutable DEBT;

    uint256 public referencePrice;
    uint256 public totalSupplied;
    uint256 public totalDebts;
    mapping(address who => uint256) public suppliedOf;
    mapping(address who => uint256) public collateralOf;
    mapping(address who => uint256) public debtOf;
    address[] private borrowers;
    mapping(address who => bool) private isBorrower;

    event ReferencePriceSet(uint256 price);
    event Supplied(address indexed who, uint256 amount);
    event Withdrawn(address indexed who, uint256 amount);
    event CollateralAdded(address indexed who, uint256 amount);
    event CollateralRemoved(address indexed who, uint256 amount);
    event Borrowed(address indexed who, uint256 amount);
    event Repaid(address indexed who, address indexed by, uint256 amount);
    event Liquidated(address indexed who, address indexed by, uint256 debt, uint256 collateral);

    error Unhealthy(address who, uint256 debt, uint256 collateral);
    error Healthy(address who, uint256 debt, uint256 collateral);
    error HasDebtWhilePaused(address who, uint256 debt);

    /// @param referencePrice_ units of DEBT for 1e18 units of COLLATERAL
    constructor(Amm amm, uint256 referencePrice_, address owner, address pauser) Stoppable(owner, pauser) {
        AMM = amm;
        COLLATERAL = amm.BASE();
        DEBT = amm.QUOTE();
        referencePrice = referencePrice_;
    }

    function setReferencePrice(uint256 price) external onlyOwner {
        referencePrice = price;
        emit ReferencePriceSet(price);
    }

    function supply(uint256 amount) external whenNotPaused {
        suppliedOf[msg.sender] += amount;
        totalSupplied += amount;
        DEBT.safeTransferFrom(msg.sender, address(this), amount);
        emit Supplied(msg.sender, amount);
    }

    function withdraw(uint256 amount) external {
        suppliedOf[msg.sender] -= amount;
        totalSupplied -= amount;
        DEBT.safeTransfer(msg.sender, amount);
        emit Withdrawn(msg.sender, amount);
    }

    function addCollateral(uint256 amount) external whenNotPaused {
        collateralOf[msg.sender] += amount;
        COLLATERAL.safeTransferFrom(msg.sender, address(this), amount);
        emit CollateralAdded(msg.sender, amount);
    }

    function removeCollateral(uint256 amount) external {
        require(!paused() || debtOf[msg.sender] == 0, HasDebtWhilePaused(msg.sender, debtOf[msg.sender]));
        collateralOf[msg.sender] -= amount;
        _requireHealthy(msg.sender);
        COLLATERAL.safeTransfer(msg.sender, amount);
        emit CollateralRemoved(msg.sender, amount);
    }

    function borrow(uint256 amount) external whenNotPaused {
        if (!isBorrower[msg.sender]) {
            isBorrower[msg.sender] = true;
            borrowers.push(msg.sender);
        }
        debtOf[msg.sender] += amount;
        totalDebts += amount;
        _requireHealthy(msg.sender);
        DEBT.safeTransfer(msg.sender, amount);
        emit Borrowed(msg.sender, amount);
    }

    function repay(address who, uint256 amount) public {
        debtOf[who] -= amount;
        totalDebts -= amount;
        DEBT.safeTransferFrom(msg.sender, address(this), amount);
        emit Repaid(who, msg.sender, amount);
    }

    function liquidate(address who, uint256 amount) external whenNotPaused {
        require(!_healthy(who), Healthy(who, debtOf[who], collateralOf[who]));
        uint256 seized = amount * DISCOUNT_BPS / BPS * 1e18 / AMM.spotPrice();
        collateralOf[who] -= seized;
        repay(who, amount);
        COLLATERAL.safeTransfer(msg.sender, seized);
        emit Liquidated(who, msg.sender, amount, seized);
    }

    function assets() external view returns (uint256) {
        return DEBT.balanceOf(address(this)) + totalDebts - badDebt();
    }

    function liabilities() external view returns (uint256) {
        return totalSupplied;
    }

    /// @notice Debt that is not covered at the reference price. Walks over all borrowers: rehearsals have few.
    function badDebt() public view returns (uint256 total) {
        for (uint256 i = 0; i < borrowers.length; ++i) {
            uint256 worth = collateralOf[borrowers[i]] * referencePrice / 1e18;
            uint256 debt = debtOf[borrowers[i]];
            if (debt > worth) total += debt - worth;
        }
    }

    /// @dev The bug: the spot price of a pair that the caller may just have moved.
    function _healthy(address who) private view returns (bool) {
        return debtOf[who] * BPS <= collateralOf[who] * AMM.spotPrice() / 1e18 * FACTOR_BPS;
    }

    function _requireHealthy(address who) private view {
        require(_healthy(who), Unhealthy(who, debtOf[who], collateralOf[who]));
    }
}

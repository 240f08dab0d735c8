// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Stoppable} from "./Stoppable.sol";

/// @notice A one-asset lending market with self-collateralised leverage, re-enacting Euler 2023: `donate` gives collateral away
/// without a look at the giver's health, so a leveraged account can make itself insolvent, and a liquidator of the same hand takes its
/// collateral at a discount, leaving the bad debt to the lenders. One market per asset fell after the other, minutes apart.
///
/// Invariant, broken by the donation and worse after the liquidation: `assets() >= liabilities() * 999 / 1000`. Assets are cash and
/// the debts that collateral covers; liabilities are deposits and the reserve. Without bad debt both are equal, always.
/// Pause stops: deposit, leverage, borrow, donate, liquidate. Still works: repay, and withdraw by whoever stays healthy.
/// No interest accrues, to keep the numbers exact.
contract Market is Stoppable {
    using SafeERC20 for IERC20;

    /// @notice Debt may be at most 95 % of an account's deposit.
    uint256 public constant FACTOR_BPS = 9_500;
    /// @notice A liquidator gets 120 of collateral for 100 of debt.
    uint256 public constant DISCOUNT_BPS = 12_000;
    uint256 private constant BPS = 10_000;

    IERC20 public immutable TOKEN;
    mapping(address who => uint256) public depositOf;
    mapping(address who => uint256) public debtOf;
    uint256 public totalDeposits;
    uint256 public totalDebts;
    uint256 public reserve;
    /// @notice Sum over accounts of debt that exceeds the deposit behind it.
    uint256 public badDebt;

    event Deposited(address indexed who, uint256 amount);
    event Withdrawn(address indexed who, uint256 amount);
    event Leveraged(address indexed who, uint256 amount);
    event Borrowed(address indexed who, uint256 amount);
    event Repaid(address indexed who, address indexed by, uint256 amount);
    event Donated(address indexed who, uint256 amount);
    event Liquidated(address indexed who, address indexed by, uint256 debt, uint256 collateral);

    error Unhealthy(address who, uint256 debt, uint256 deposit);
    error Healthy(address who, uint256 debt, uint256 deposit);

    constructor(IERC20 token, address owner, address pauser) Stoppable(owner, pauser) {
        TOKEN = token;
    }

    function deposit(uint256 amount) external whenNotPaused {
        _change(msg.sender, depositOf[msg.sender] + amount, debtOf[msg.sender]);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        emit Deposited(msg.sender, amount);
    }

    function withdraw(uint256 amount) external {
        _change(msg.sender, depositOf[msg.sender] - amount, debtOf[msg.sender]);
        _requireHealthy(msg.sender);
        TOKEN.safeTransfer(msg.sender, amount);
        emit Withdrawn(msg.sender, amount);
    }

    /// @notice Deposit what is borrowed at the same moment (Euler's `mint`).
    function leverage(uint256 amount) external whenNotPaused {
        _change(msg.sender, depositOf[msg.sender] + amount, debtOf[msg.sender] + amount);
        _requireHealthy(msg.sender);
        emit Leveraged(msg.sender, amount);
    }

    function borrow(uint256 amount) external whenNotPaused {
        _change(msg.sender, depositOf[msg.sender], debtOf[msg.sender] + amount);
        _requireHealthy(msg.sender);
        TOKEN.safeTransfer(msg.sender, amount);
        emit Borrowed(msg.sender, amount);
    }

    function repay(address who, uint256 amount) external {
        _change(who, depositOf[who], debtOf[who] - amount);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        emit Repaid(who, msg.sender, amount);
    }

    /// @dev The bug: no _requireHealthy.
    function donate(uint256 amount) external whenNotPaused {
        _change(msg.sender, depositOf[msg.sender] - amount, debtOf[msg.sender]);
        reserve += amount;
        emit Donated(msg.sender, amount);
    }

    /// @notice Take over `debt` of an unhealthy account together with 120 % of it in collateral.
    function liquidate(address who, uint256 debt) external whenNotPaused {
        require(!_healthy(who), Healthy(who, debtOf[who], depositOf[who]));
        uint256 collateral = debt * DISCOUNT_BPS / BPS;
        _change(who, depositOf[who] - collateral, debtOf[who] - debt);
        _change(msg.sender, depositOf[msg.sender] + collateral, debtOf[msg.sender] + debt);
        _requireHealthy(msg.sender);
        emit Liquidated(who, msg.sender, debt, collateral);
    }

    function cash() public view returns (uint256) {
        return TOKEN.balanceOf(address(this));
    }

    function assets() external view returns (uint256) {
        return cash() + totalDebts - badDebt;
    }

    function liabilities() external view returns (uint256) {
        return totalDeposits + reserve;
    }

    function _change(address who, uint256 newDeposit, uint256 newDebt) private {
        badDebt = badDebt - _shortfall(who);
        totalDeposits = totalDeposits - depositOf[who] + newDeposit;
        totalDebts = totalDebts - debtOf[who] + newDebt;
        depositOf[who] = newDeposit;
        debtOf[who] = newDebt;
        badDebt = badDebt + _shortfall(who);
    }

    function _shortfall(address who) private view returns (uint256) {
        return debtOf[who] > depositOf[who] ? debtOf[who] - depositOf[who] : 0;
    }

    function _healthy(address who) private view returns (bool) {
        return debtOf[who] * BPS <= depositOf[who] * FACTOR_BPS;
    }

    function _requireHealthy(address who) private view {
        require(_healthy(who), Unhealthy(who, debtOf[who], depositOf[who]));
    }
}

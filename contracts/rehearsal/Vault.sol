// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Stoppable} from "./Stoppable.sol";

interface IDepositRoute {
    /// @dev Bring `amount` of `asset` to the vault; returns how much it brought.
    function deliver(address asset, uint256 amount) external returns (uint256);
}

/// @notice A share vault in the shape of ERC-4626. The attack takes the path of Penpie 2024 (a counterfeit market is taken at
/// its word): `depositVia` mints shares for what any caller's route *says* that it delivered.
///
/// Invariant, broken by the first unbacked mint: the share price `totalAssets() / totalSupply()` never falls
/// (with no fee and no gain it stays at 1: `totalAssets() >= totalSupply() * 999 / 1000`).
/// Pause stops: deposit, depositVia, redeem. Still works: transfer and approve of shares, all views.
contract Vault is ERC20, Stoppable {
    using SafeERC20 for IERC20;

    IERC20 public immutable ASSET;

    event Deposit(address indexed sender, address indexed owner, uint256 assets, uint256 shares);
    event Withdraw(
        address indexed sender, address indexed receiver, address indexed owner, uint256 assets, uint256 shares
    );

    error NothingDelivered();

    constructor(IERC20 asset_, string memory name_, string memory symbol_, address owner_, address pauser_)
        ERC20(name_, symbol_)
        Stoppable(owner_, pauser_)
    {
        ASSET = asset_;
    }

    function deposit(uint256 assets, address receiver) external whenNotPaused returns (uint256 shares) {
        shares = convertToShares(assets);
        ASSET.safeTransferFrom(msg.sender, address(this), assets);
        _mint(receiver, shares);
        emit Deposit(msg.sender, receiver, assets, shares);
    }

    /// @dev The bug: a route's answer is believed, the vault's own balance is not looked at.
    function depositVia(IDepositRoute route, uint256 amount, address receiver)
        external
        whenNotPaused
        returns (uint256 shares)
    {
        uint256 price = totalAssets();
        uint256 delivered = route.deliver(address(ASSET), amount);
        require(delivered > 0, NothingDelivered());
        shares = totalSupply() == 0 ? delivered : Math.mulDiv(delivered, totalSupply(), price);
        _mint(receiver, shares);
        emit Deposit(msg.sender, receiver, delivered, shares);
    }

    function redeem(uint256 shares, address receiver, address owner) external whenNotPaused returns (uint256 assets) {
        if (msg.sender != owner) _spendAllowance(owner, msg.sender, shares);
        assets = convertToAssets(shares);
        _burn(owner, shares);
        ASSET.safeTransfer(receiver, assets);
        emit Withdraw(msg.sender, receiver, owner, assets, shares);
    }

    function asset() external view returns (address) {
        return address(ASSET);
    }

    function decimals() public view override returns (uint8) {
        return IERC20Metadata(address(ASSET)).decimals();
    }

    function totalAssets() public view returns (uint256) {
        return ASSET.balanceOf(address(this));
    }

    function convertToShares(uint256 assets) public view returns (uint256) {
        uint256 supply = totalSupply();
        return supply == 0 ? assets : Math.mulDiv(assets, supply, totalAssets());
    }

    function convertToAssets(uint256 shares) public view returns (uint256) {
        uint256 supply = totalSupply();
        return supply == 0 ? shares : Math.mulDiv(shares, totalAssets(), supply);
    }
}

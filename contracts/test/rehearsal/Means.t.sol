// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {GasBurnToken, MegabyteToken, RevertToken, SwitchedToken} from "../../rehearsal/BadTokens.sol";
import {FlashLender, IFlashBorrower} from "../../rehearsal/FlashLender.sol";
import {Multicall} from "../../rehearsal/Multicall.sol";
import {Router} from "../../rehearsal/Router.sol";
import {Token} from "../../rehearsal/Token.sol";
import {Test} from "../Test.sol";

contract TokenTest is Test {
    function test_anybody_mints_in_the_decimals_asked_for() public {
        Token token = new Token("Dollar", "USD", 6);
        token.mint(address(1), 5);
        assertEq(token.balanceOf(address(1)), 5, "balance");
        assertEq(token.decimals(), 6, "decimals");
    }
}

contract BadTokensTest is Test {
    function read(SwitchedToken token, uint256 gasLimit) private view returns (bool ok, uint256 size, uint256 gasUsed) {
        uint256 before = gasleft();
        bytes memory data;
        (ok, data) = address(token).staticcall{gas: gasLimit}(abi.encodeCall(token.balanceOf, (address(1))));
        return (ok, data.length, before - gasleft());
    }

    function test_each_is_an_ordinary_token_until_switched() public {
        SwitchedToken[3] memory list = [SwitchedToken(new GasBurnToken()), new RevertToken(), new MegabyteToken()];
        for (uint256 i = 0; i < 3; ++i) {
            list[i].mint(address(1), 9);
            assertEq(list[i].balanceOf(address(1)), 9, "off");
            list[i].setBad(true);
            list[i].setBad(false);
            assertEq(list[i].balanceOf(address(1)), 9, "off again");
        }
    }

    function test_the_gas_burner_burns_all_it_is_given() public {
        SwitchedToken token = new GasBurnToken();
        token.setBad(true);
        (bool ok,, uint256 gasUsed) = read(token, 100_000);
        assertFalse(ok, "fails");
        assertGe(gasUsed, 100_000, "all of it");
    }

    function test_the_reverter_reverts() public {
        SwitchedToken token = new RevertToken();
        token.setBad(true);
        vm.expectRevert(RevertToken.NoBalance.selector);
        token.balanceOf(address(1));
    }

    function test_the_megabyte_is_one() public {
        SwitchedToken token = new MegabyteToken();
        token.setBad(true);
        (bool ok, uint256 size,) = read(token, 10_000_000);
        assertTrue(ok, "succeeds");
        assertEq(size, 1 << 20, "bytes");
    }
}

contract KeepsTheLoan is IFlashBorrower {
    function onFlashLoan(address, address, uint256, bytes calldata) external payable {}
}

contract FlashLenderTest is Test {
    function test_a_loan_that_does_not_come_back_reverts() public {
        FlashLender lender = new FlashLender();
        address asset = lender.ETHER();
        vm.deal(address(lender), 5 ether);
        KeepsTheLoan borrower = new KeepsTheLoan();
        vm.expectRevert(abi.encodeWithSelector(FlashLender.NotRepaid.selector, asset, 2 ether));
        lender.flashLoan(borrower, asset, 2 ether, "");
        Token token = new Token("T", "T", 18);
        token.mint(address(lender), 7);
        vm.expectRevert(abi.encodeWithSelector(FlashLender.NotRepaid.selector, address(token), 7));
        lender.flashLoan(borrower, address(token), 7, "");
    }
}

contract RouterTest is Test {
    function test_it_forwards_tokens_and_ether() public {
        Router router = new Router();
        Token token = new Token("T", "T", 18);
        token.mint(address(this), 10);
        token.approve(address(router), 10);
        router.forward(address(token), address(1), 4);
        router.forwardEther{value: 3}(payable(named("a")));
        Router.Forwarding[] memory list = new Router.Forwarding[](2);
        list[0] = Router.Forwarding(address(token), address(1), 6);
        list[1] = Router.Forwarding(router.ETHER(), named("b"), 5);
        router.forwardMany{value: 5}(list);
        assertEq(token.balanceOf(address(1)), 10, "tokens");
        assertEq(named("a").balance, 3, "ether");
        assertEq(named("b").balance, 5, "ether in the list");
    }
}

contract MulticallTest is Test {
    function test_it_calls_in_order_and_reports_failures() public {
        Multicall multicall = new Multicall();
        Token token = new Token("T", "T", 18);
        Multicall.Call3Value[] memory calls = new Multicall.Call3Value[](2);
        calls[0] = Multicall.Call3Value(address(token), false, 0, abi.encodeCall(token.mint, (address(multicall), 3)));
        calls[1] = Multicall.Call3Value(address(token), true, 0, abi.encodeCall(token.transfer, (address(1), 40)));
        Multicall.Result[] memory results = multicall.aggregate3Value(calls);
        assertTrue(results[0].success && !results[1].success, "results");
        calls[1].allowFailure = false;
        vm.expectPartialRevert(Multicall.CallFailed.selector);
        multicall.aggregate3Value(calls);
    }
}

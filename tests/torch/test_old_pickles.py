"""Pickles of an optimizer, as earlier versions wrote them: one with a schedule in its groups, from before 1.0."""

import base64
import pickle
import zlib

import pytest
import torch

from rmsprop.schedules import CosineDecay

# Of (optimizer, w, v), after two steps with gradients of 0.5: w of two numbers ruled by CosineDecay(0.5, 10), v of one
# with lr 0.25, momentum 0.5, weight decay 0.5 but for v; both began at 1.
PICKLE = (
    b"c-q~T&u<$=6vzE5wQDCOpoX^mECqzi!6c6DxQ7raX&a<f4Wt(zh_>V1v1iKcu6K4Ozobav5E7%2I51ogCr+HoKY#=h5+{(jaRiP?"
    b"NR<#5BqVsVcHAuxDJP_`(%Lg`zVqhI=grt}FZbb%QYwDb6!)S&5Be1maEEA>U%PeN^z{e&>N|Q@msP>VT_l-^;$DVvy}I<{Xm%lT"
    b"2zDjIT3tMHbYzMuP7qNahDs}O<2rWG_5;5&)Te?XW;2YqPyL?Fk-!P(CD%-_BZ2#owu)*3u|7e1H8pxv&PN{BEj6`?xF`FzK)i<q"
    b"7$!%C(bSaes4OP|`2OV^^L(ocUf^M0NH4Ko9>kOdzFvKG=lfqj`uwxkRKWoe=GfH(aEfV<2s@4{$-rT>?+4t2h0mJy24d2L^+=Be"
    b"9oS!DJTD_`V-Fd3@MR~WxPR~b&QGiN)CFS?HZb4hRA9TyaVW9xY-`I^(?`fQFbf<iwi7Ul5epzVvE4Uo7d*5@J-UNorJ{rSLUPn$"
    b"rkC#q93x0|OHFhk92XkrT-xozHhpj&tE8HUgvo{~IRRtX5j5~4ZBi1S1(!MkGN}q3NtvK#C^xe0>orL3WPF?|wiJ}X;A1w&M(Wyq"
    b"#35<G6r|*p#DKtl6mWZ^3Ik;|HJl&87wSP6(>4o`3p4`H?raMjfoeIMPNnuT?-kh}AK(1_^4(A0xK!E8-1<2SpSxkI+@1z5a3n<l"
    b"djMoSf=z^J5VWUYgi#?FWW#qU^25wwy9h>u&yIjw6lQnBT)8~~#)t%5gcDY#orNCtMR>-_wR6Tt;P=A3m6H<IEVuJUJPbKZIq?>X"
    b"Hz9CwduS|%>GnC$T&peAs&m!3+HAd1YlcI=PG5#uE7KBT?oIHv9;W_Hn?{w)DCJ-KSH3iFjND3DnSE`g_w|6hq)M-I*BsmH!<<}Q"
    b"(*iVyWD!~i(2DQ%_z;o#GHIN4nzh=s+1kQv?IbkE+62wF-d|oc?>}fRj_8q@{|TpNv)ZUPPR41ZO>nx;ep@o{v798Ci$SgYd8+Sb"
    b"qgrpwS0AF3KJIRgv_L66qV#re`HLe$>Aw?t=pK?Ar=M1BzS&%;H<~A*HP$9*CGTDOn0t4+0oChOI3}|v0(7KJ0QxGowR9{XDb-~B"
    b"w`%uzAfez{*Jbkqe<n7XE?GgU2-O4>Sn>b3l~JYP3{ycFg-UN~MDnXkKP()a{p966QXrG${J35sGvj)PJU%Xu$b|v9_+a2ti#*XH"
    b"PqxTY1M>8^pdrs#E_rrbr;y7n^4x%28Ib2&<b@V_aUjhlD71)#IPb(Ud^eJAS{brsV%vb&{-a>9D%yC<VbYu+9f!28-_>f;zDtGe"
    b"1YVy)fpkb7C283qE9B0BuKWdO>YUI"
)


def old():
    return pickle.loads(zlib.decompress(base64.b85decode(PICKLE)))


def test_a_run_goes_on_where_the_pickle_was_made():
    optimizer, w, v = old()
    assert optimizer.iterations == 2
    for one in (w, v):
        one.grad = torch.full_like(one, 0.5)
    optimizer.step()
    # What the version that made it came to.
    assert w.tolist() == pytest.approx([-3.7876410] * 2, abs=1e-6)
    assert v.tolist() == pytest.approx([-1.7240382], abs=1e-6)
    assert [group["lr"] for group in optimizer.param_groups] == [CosineDecay(0.5, 10)(2), 0.25]


def test_the_schedule_has_left_the_groups_and_rules_those_that_come_later():
    optimizer, _, _ = old()
    assert all("schedule" not in group for group in (*optimizer.param_groups, optimizer.defaults))
    optimizer.add_param_group({"params": [("u", torch.nn.Parameter(torch.ones(1)))]})
    assert optimizer.param_groups[2]["lr"] == CosineDecay(0.5, 10)(2)

"""States as they were written when their attributes were called velocity, momentum, ... and learning_rate.

Made by an optimizer of that time: one step of ``PARAMS`` by ``GRADS`` with ``RMSprop(0.125)``, and with
``RMSprop(0.125, **EVERYTHING)``; ``pickle.dumps(jax.device_get(state), protocol=4)``, compressed by zlib, and
``flax.serialization.to_bytes(state)``.
"""

import base64
import pickle
import zlib

import jax.numpy as jnp

PARAMS = {"w": jnp.array([1.0, 2.0]), "b": jnp.array(0.5)}
GRADS = {"w": jnp.array([0.5, -0.25]), "b": jnp.array(2.0)}
EVERYTHING = {"momentum": 0.5, "centered": True, "use_ema": True, "ema_momentum": 0.5}

_PICKLES = {
    "plain": """
c-m`Vnd-&J00uomMY+WVMfnAK@mYx#dc`G)C8<+-c!GR`L4v_x?&K*NJz{yKxdoMa@yYo`sd~AkIVG8iMMa5~K&A0Tsmb|y#U(|h
$t6IgJ*;4rQ+n9*QXonuPw{4Go#M=xG^Kq?&=d`CM$HVi9@dnS$^wwlJxrM<Q#v~!Qp`P!HdFlk{Jj1H0hsV+D4CMf>C6Ih?i3)i7
U&kBNg1pe93WFOxZq~;^)RI&nUo=f)ts|u&e(y>>0vC#G{l<;$dT=I<^Za)0b*;A%2J>?SgZpoV*$DeY*@*Z#wmILuI+{a""",
    "everything": """
c-m`VnX1Rc00uomMY+WVMfnAK@mYx#dc`G)C8<+-c!GR`L4v_x?&K*NJz{yKxdoMa@yYo`sd~AkIVG8iMMa5~K&A0Tsmb|y#U(|h
$t6IgJ*;4rQ+n9*QXonuPw{4Go#M=xG^Kq?&=d`CM$HVi9@dnS$^wwlJxrM<Q#v~!Qp`P!HdFlk{Jj1H0hsV+D4CMf>CD0ibn6r#v
li$Uph+3585|%}Gq~Vp^7SyKA(@mRgw>q0XU^Dx%;{k)$27#73CNM{bmjo6vH@aikjhe^l^Nn#ECecK2@bsqHZDUEw_#>LH8(@9?
jvZ}*)u)_4FjsN1-fhxLBqmArxG-5(<(1}zffKWuwgjN0fsx+oRTSxQ}h4_j@F9""",
}

_MESSAGES = {
    "plain": """
hN@|FWpZJ3X>V?G#|{CLkfmvEbTcx<1OWg50H}6lY;R*}ba{fIV%Pzbkf&yBZ((#ZGQ<SU%*;NacgGb0laT_aW^8X^bTcx<2+hpQJ
k89^JE(1MZDnqBb#1_~VRmJ5VP|DuXL4a=X=QG7z^7q$WpZI>Wx%a$Wnpq|X>Mm<a$$63*a4G}r)F$#VRSPx!~_5U06q""",
    "everything": """
hN@|FWpZJ3X>V?G#|{CLkfmvEbTcx<1OWg50H}6lY;R*}ba{fIV%Pzbkf&yBZ((#ZGQ<SU%*;NacgGb0laT_aW^8X^bTcx<2+hpQJ
k89^JE(1MZDnqBb!~#7V%Pzbkf&yBZ((#ZGQ<Q^Rn<PBcgGb0laT_aW^8X^bTcx<2sTyKKG{^&zOZ3-WpZI>WnX7<VPt7#Zghg7V%
Pzbkf&yBZ((#ZGQ<SU%uGI^cgGb0laT_aW^8X^bTcx<2+hn)J<ZI_yr*GyWpZI>WrCq%*a4G}r)F$#VRSPx!~|AVl|G?&#}xsSkpib
?Y;R$7Gcv>ovZ_iyPE`#+t!!msa&BpEXJ2w*bY<89laQxoY;R$7Gcv>k0000!""",
}


def _bytes(text):
    return base64.b85decode("".join(text.split()))


def unpickled(name):
    """What is in a pickle."""
    return pickle.loads(zlib.decompress(_bytes(_PICKLES[name])))


def message(name):
    """The bytes that Flax wrote."""
    return _bytes(_MESSAGES[name])

"""The marginal likelihood of a location-scale model by adaptive Gauss-Hermite quadrature.

The mathematics, in a page. Group j has n rows, y (n), X (n, p), W (n, k), Z (n, qu), A (n, qv).

**Whitening.** The group effects are (u, v) = F x with x ~ N(0, I) and T = F F'. The columns of F
are ordered so that the variance function reads the first m of them only: x = (z, e),

    v = C z,    u = B z + G e,    log variance of row i = w_i'delta + a_i'v (+ z'Omega z),

with B (qu, m), G (qu, r), C (qv, m). F is a Cholesky factor with the rows of v before those of u
(`law.CholeskyLaw`), so a singular T is an ordinary point: nothing is inverted. With level-2
functions F differs from group to group (`law.FunctionLaw`). A linear association adds lambda'u* to
the log variance, u* the standardised (or raw) u: one more row of the variance function's factor,
after which x is rotated until the first m coordinates carry all of it. A quadratic one makes Omega
= K' diag(lambda) K with u* = K z, and then all of x is z.

**Collapsing.** Given z, y is normal (Woodbury, Harville 1977). With D = diag exp(-log variance) and
r = y - X gamma - Z B z,

    S = Z'DZ,   t = G'Z'Dr,   M = I + G'SG,   e | z, y ~ N(M^-1 t, M^-1),
    log p(y | z) = -1/2 [n log 2pi + sum log variance + log|M| + r'Dr - t'M^-1 t].

Only sums over rows of d r^2, d Z r and d ZZ' enter, (K nodes by 1 + qu + qu(qu+1)/2) a group; where
A is constant within groups they are those of z = 0 times exp(-a'v), so that the nodes cost nothing
per row (`collapsed`).

**Quadrature.** log p(y) = log of the integral of p(y | z) N(z; 0, I) over z, by a product of Gauss-
Hermite rules whose nodes z_k = mu_j + S_j x_k are placed at the mean and the scale of the posterior
of z in group j, and placed again as the parameters move (Naylor & Smith 1982; Liu & Pierce 1994;
Pinheiro & Bates 1995, with means for modes). p_k are the weights of the nodes given y.

**Score.** With the nodes held fixed, the derivative of the log of the sum is the expectation, over
nodes and over e given each, of the derivative of log p(y | z, e) (Fisher's identity). With u~ = B z
+ G e^, e^ = M^-1 t, V = G M^-1 G', r~ = y - X gamma - Z u~ and g_i = (d_i (r~_i^2 + z_i'V z_i) - 1)
/ 2:

    gamma: X'D r~          delta: W'g          C: (A'g) z'
    B: Z'D r~ z'           G: Z'D r~ e^' - S G M^-1

each averaged with p_k. The information is the central difference of this score at the maximum.
`problem` puts the pieces together, `newton` climbs, `maximum` finds the maximum, the rank of T and
the standard errors.

Sources: Hedeker, Mermelstein & Demirtas (2008), Biometrics 64, for the model and its quadrature
over all effects; Leckie, French, Charlton & Browne (2014), J. Educ. Behav. Stat. 39, equations 1.1
to 3.3.
"""

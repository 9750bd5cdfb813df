"""The location-scale model for NUTS: a log density with its gradient, compiled by Numba.

The mathematics, in a page. Row i of group j has, with effects e = (u, v) ~ N(0, T_j),

    y_i ~ N(x_i'gamma + z_i'u, exp(h_i)),   h_i = w_i'delta + a_i'v (+ lambda'u*, an association).

**Coordinates.** What is sampled is free and about standard normal, whatever the units of the data:
coefficients = centre + C x with C C' about their posterior covariance (`information`); logs of SDs;
atanh of canonical partial correlations; log(nu - 1); and for each group its innovations,
standardised by what the group's outcomes say of them (`level2`). So the SDs do not pull the groups
through a funnel, the groups do not hold the coefficients, and trajectories are short: 15 steps a
draw on High School and Beyond and on 71,321 students alike.

**Parts.** The density is a sum of four parts, each a module with its gradient and the derivation of
that: `level1` (outcomes given the groups' coefficients; by rows, or by sums of products over cells
of one variance), `level2` (effects), `factors` (SDs and correlations, constant or functions of
level-2 predictors), `prior_density`. `density` puts them together, forwards and back, and makes of
it the two C functions that nutpie calls.

**Folding.** A fixed column that is an effect's column times a constant of the group (the intercept
beside u:Intercept, sector * x beside u:x) is held by the group's own coefficient, so that no row
reads it (`folding`).

**Data.** `arrays` takes a design apart, `starts` guesses where the posterior is, `build` makes the
`problem`, one array of numbers that compiled code reads. None of these import Numba. The start
settles coordinates alone: any start gives the same posterior.

What was measured (High School and Beyond and the exam data, four chains of 1,000 draws, smallest
bulk effective sample size): Leckie et al. (2014) Model 1: 1,944 as here, 181 with effects partially
centred by their reliability; Model 4: 1,606 against 108; exam, Model 6: 1,480 against 293, with
trajectories as long. A low-rank mass matrix was four to nine times slower and gave no more.

Sources: Leckie, French, Charlton & Browne (2014), J. Educ. Behav. Stat. 39, equations 1.1 to 3.3,
for the model; Hoffman & Gelman (2014), J. Mach. Learn. Res. 15, for NUTS; Kleppe (2019), J. Comput.
Graph. Stat. 28, for the standardised effects.
"""

"""Sample grids, plots and the HTML report."""

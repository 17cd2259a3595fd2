"""The networks: ordinary modules that know no backend."""

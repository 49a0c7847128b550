"""The grown size as plain processes of one machine: `make up-grown`, and what the tests of it use."""

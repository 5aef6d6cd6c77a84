"""Real servers for tests, one module each: installed once into the user's cache directory, started with their data in a directory of
the test's. What a service needs that is missing skips the test loudly (`tests.support.tools.find`)."""

"""How fast the library is: against the machine's limit, and against its peers."""

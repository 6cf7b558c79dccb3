package sandbox

// Attacker becomes the program inside the sandbox that tests of attacks run.
var Attacker = attacker

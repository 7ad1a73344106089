// The process: reads the command line and runs one verb. The real world is built in the verbs that
// need one.
#include "cli/command_line.h"

int main(int argc, char** argv) { return millrace::RunCommandLine(argc, argv); }

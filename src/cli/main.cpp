#include "cli/program.h"

int main(int argc, char** argv) {
  return hypura::run_program(argc, argv);
}

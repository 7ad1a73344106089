# The same seeds in two processes must give the same trace hashes.
foreach(run first second)
  execute_process(COMMAND ${SIMTEST} --seeds 1..5 --scenario toy --trace-hash
    OUTPUT_VARIABLE ${run} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "the seeds fail: ${${run}}")
  endif()
endforeach()
if(NOT first STREQUAL second)
  message(FATAL_ERROR "two processes differ:\n${first}\n${second}")
endif()

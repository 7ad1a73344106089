# The same seeds in two processes must give the same trace hashes, whatever runs in them: the order of
# containers, addresses and real clocks differ between processes.
set(scenarios)
foreach(scenario toy cluster cluster-control groups compaction)
  list(APPEND scenarios --scenario ${scenario})
endforeach()
foreach(run first second)
  execute_process(COMMAND ${SIMTEST} --seeds 1..3 ${scenarios} --trace-hash
    OUTPUT_VARIABLE ${run} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "the seeds fail: ${${run}}")
  endif()
endforeach()
if(NOT first STREQUAL second)
  message(FATAL_ERROR "two processes differ:\n${first}\n${second}")
endif()

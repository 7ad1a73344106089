# One folder of sources = one library that links only what lies below it (docs/architecture.md, Layers).
#
#   millrace_folder(NAME DIRS dir... [HEADERS std|runtime|node|broker] [DEPS lib...] [LIBS external...]
#                   [TEST_HEADERS test|node_test] [TEST_DEPS lib...])
#
# makes library `millrace_NAME` of every *.cc in DIRS but *_test.cc, and, where there are any, one test
# binary `NAME_test` of the *_test.cc. HEADERS and TEST_HEADERS say what is precompiled for them
# (CMakeLists.txt). Sources are globbed (CONFIGURE_DEPENDS), so a new file needs no edit here; a new
# folder does, because a new folder is an architectural decision.
function(millrace_folder NAME)
  cmake_parse_arguments(ARG "" "HEADERS;TEST_HEADERS" "DIRS;DEPS;LIBS;TEST_DEPS" ${ARGN})
  if(NOT ARG_HEADERS)
    set(ARG_HEADERS std)
  endif()
  if(NOT ARG_TEST_HEADERS)
    set(ARG_TEST_HEADERS test)
  endif()
  set(sources)
  set(tests)
  foreach(dir ${ARG_DIRS})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.cc)
    file(GLOB found_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*_test.cc)
    if(found_tests)
      list(REMOVE_ITEM found ${found_tests})
    endif()
    list(APPEND sources ${found})
    list(APPEND tests ${found_tests})
  endforeach()
  set(target millrace_${NAME})
  if(sources)
    add_library(${target} STATIC ${sources})
    target_link_libraries(${target} PUBLIC millrace_flags ${ARG_DEPS} ${ARG_LIBS})
    target_precompile_headers(${target} REUSE_FROM millrace_${ARG_HEADERS}_headers)
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE millrace_flags ${ARG_DEPS} ${ARG_LIBS})
  endif()
  if(tests AND NOT MILLRACE_FUZZ)
    test_program(${NAME}_test HEADERS ${ARG_TEST_HEADERS} ${tests})
    target_link_libraries(${NAME}_test PRIVATE ${target} ${ARG_TEST_DEPS})
    add_test(NAME ${NAME} COMMAND ${NAME}_test)
  endif()
endfunction()

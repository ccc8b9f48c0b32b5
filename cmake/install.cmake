# Installation: both libraries, the headers, a pkg-config file and a CMake package. The result can be moved as a whole.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tricolor)

install(TARGETS tricolor tricolor_static EXPORT tricolor-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/tricolor.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "tricolor/*.h")

# pkg-config: the prefix is found from where the file lies.
file(RELATIVE_PATH TRI_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" TRI_PC_PREFIX "${TRI_PC_PREFIX}")
configure_file(tricolor.pc.in tricolor.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tricolor.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# CMake: find_package(tricolor) gives tricolor::tricolor (shared) and tricolor::static.
configure_package_config_file(cmake/tricolor-config.cmake.in tricolor-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(tricolor-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT tricolor-targets NAMESPACE tricolor:: DESTINATION ${package_dir})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tricolor-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/tricolor-config-version.cmake
        DESTINATION ${package_dir})

# tricolor(7) is written from the table of options itself.
add_executable(tricolor-options tools/manual/options.c)
tri_program_flags(tricolor-options)
target_link_libraries(tricolor-options PRIVATE tricolor_test)
add_custom_command(OUTPUT tricolor.7 COMMAND tricolor-options tricolor.7 DEPENDS tricolor-options VERBATIM)
add_custom_target(tricolor-manual ALL DEPENDS tricolor.7)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tricolor.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)

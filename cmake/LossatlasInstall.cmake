# `cmake --install`: library, headers, program, CMake package and pkg-config file, all of which may be moved afterwards.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lossatlas)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS lossatlas EXPORT lossatlasTargets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lossatlas DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(LOSSATLAS_PROGRAM)
  file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(lossatlas_cli PROPERTIES INSTALL_RPATH "\$ORIGIN/${bin_to_lib}")
  install(TARGETS lossatlas_cli)
endif()

install(EXPORT lossatlasTargets NAMESPACE lossatlas:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/lossatlasConfig.cmake.in
  ${PROJECT_BINARY_DIR}/lossatlasConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lossatlasConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lossatlasConfig.cmake ${PROJECT_BINARY_DIR}/lossatlasConfigVersion.cmake
        DESTINATION ${package_dir})

# pkg-config knows where its file lies, so the prefix is given from there.
file(RELATIVE_PATH pkgconfig_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
cmake_path(GET pkgconfig_to_prefix PARENT_PATH pkgconfig_to_prefix)  # drops the slash at its end
configure_file(${PROJECT_SOURCE_DIR}/cmake/lossatlas.pc.in ${PROJECT_BINARY_DIR}/lossatlas.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lossatlas.pc DESTINATION ${pkgconfig_dir})
